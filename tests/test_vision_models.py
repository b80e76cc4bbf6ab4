"""The networks beside torchvision's: the same parameters, the same printed form, the same scores; and the refusals."""

import numpy as np
import pytest
from vision_oracle import needs_torchvision, torchvision

import cnn
from cnn.vision import models

# name -> smallest image side that shows all of it
SMALL = {"alexnet": 63, "resnet18": 33, "resnet50": 33, "resnext50_32x4d": 32, "vgg11_bn": 32}
OTHERS = [
    "wide_resnet50_2",
    "resnet34",
    "resnet101",
    "resnet152",
    "vgg11",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]


def without_initialisation(name, monkeypatch):
    """Both networks without their costly random weights, which the tests replace or do not need."""
    import torch

    for init in (cnn.nn.init, torch.nn.init):
        for function in ("kaiming_normal_", "normal_", "kaiming_uniform_", "uniform_"):
            monkeypatch.setattr(init, function, lambda tensor, *args, **kwargs: tensor)
    return getattr(models, name)(num_classes=10).eval(), getattr(torchvision.models, name)(num_classes=10).eval()


@needs_torchvision
@pytest.mark.parametrize("name", [*SMALL, *OTHERS])
def test_parameters_and_printed_form(name, monkeypatch):
    ours, theirs = without_initialisation(name, monkeypatch)
    assert repr(ours) == repr(theirs)
    expected = {key: (tuple(value.shape), str(value.dtype)) for key, value in theirs.state_dict().items()}
    assert {key: (tuple(value.shape), str(value.dtype)) for key, value in ours.state_dict().items()} == expected
    assert list(ours.state_dict()) == list(theirs.state_dict())


@needs_torchvision
@pytest.mark.parametrize("name", SMALL)
def test_scores(name, monkeypatch):
    import torch

    ours, theirs = without_initialisation(name, monkeypatch)
    if hasattr(ours, "classifier"):  # a hundred million weights of dense layers, which show nothing new
        ours.classifier, theirs.classifier = cnn.nn.Identity(), torch.nn.Identity()
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=10_007).astype(np.float32)  # repeated, which is faster than many new ones
    state = {}
    for key, value in theirs.state_dict().items():
        fan_in = value[0].numel() if value.dim() > 1 else 1
        state[key] = np.resize(numbers * np.float32(np.sqrt(2 / fan_in)), tuple(value.shape))
        if value.dim() < 2:
            state[key] = np.abs(state[key]) * 0.1 + (0.5 if "weight" in key or "var" in key else 0)
    theirs.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in state.items()})
    ours.load_state_dict({key: cnn.from_numpy(np.array(value)) for key, value in state.items()})
    x = rng.normal(size=(1, 3, SMALL[name], SMALL[name])).astype(np.float32)
    with torch.no_grad(), cnn.no_grad():
        a, b = ours(cnn.from_numpy(x)).numpy(), theirs(torch.from_numpy(x)).numpy()
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(b).max())


@needs_torchvision
def test_the_same_seed_gives_the_same_weights():
    import torch

    torch.manual_seed(3)
    theirs = torchvision.models.resnet18(num_classes=10, zero_init_residual=True)
    cnn.manual_seed(3)
    ours = models.resnet18(num_classes=10, zero_init_residual=True)
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6, atol=1e-7, err_msg=key)
    assert cnn.rand(1).item() == torch.rand(1).item()


def test_a_step_of_training():
    net = models.resnet18(num_classes=10)
    net.fc = cnn.nn.Linear(net.fc.in_features, 5)  # as scripts do
    loss = cnn.nn.functional.cross_entropy(net(cnn.randn(2, 3, 32, 32)), cnn.tensor([1, 4]))
    loss.backward()
    assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in net.parameters())


@pytest.mark.parametrize(
    "call",
    [
        lambda: models.resnet18(pretrained=True),
        lambda: models.resnet18(weights="DEFAULT"),
        lambda: models.resnet34(weights=models.ResNet34_Weights.IMAGENET1K_V1),
        lambda: models.vgg16(weights=models.VGG16_Weights.DEFAULT),
        lambda: models.alexnet(weights=models.AlexNet_Weights.IMAGENET1K_V1, progress=False),
    ],
)
def test_pretrained_weights_are_refused_in_one_line(call):
    with pytest.raises(RuntimeError, match="pretrained weights are not available here") as caught:
        call()
    assert "\n" not in str(caught.value)


def test_what_is_not_asked_for_is_not_refused():
    assert models.resnet18(weights=None, progress=True, pretrained=False, num_classes=3).fc.out_features == 3
    with pytest.raises(AttributeError, match="has no 'densenet121'; it has alexnet, resnet18"):
        models.densenet121  # noqa: B018
    with pytest.raises(TypeError):
        models.resnet18(num_class=3)
