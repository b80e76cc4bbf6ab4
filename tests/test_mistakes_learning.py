"""What learners do wrong, a row each: the error names the layer or argument, what came, and what would work."""

import numpy as np
import pytest
from harness import needs_torch
from mistakes import Rows, check_message

import cnn
import cnn.nn as nn
import cnn.nn.functional as F
import cnn.optim as optim
from cnn.utils.data import DataLoader

ROWS = Rows()
ONE_HOT = F.one_hot(cnn.tensor([3, 1]), 10)
SCORES, CLASSES = cnn.zeros(2, 10), cnn.tensor([3, 1])
BATCH, IMAGE = cnn.zeros(2, 16, 16, 3), cnn.zeros(16, 16, 3)  # the channels last
T = cnn.vision.transforms
PICTURE = T.ToPILImage()(cnn.zeros(1, 4, 4))


class PlainList(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]


def parameters():
    return nn.Linear(1, 1).parameters()


def made(layer):
    """The line for a layer that was made of what its call should have got."""
    return f"{layer}(...) only makes the layer"


ROWS.lines(
    # Targets
    ("one-hot integers", lambda _: F.cross_entropy(SCORES, ONE_HOT), TypeError, "cross_entropy", "Expected floating",
     "got Long", "[2, 10]", "target.float()", "target.argmax(1)"),
    ("one-hot integers, layer", lambda _: nn.CrossEntropyLoss()(SCORES, ONE_HOT), TypeError, "got Long", ".argmax(1)"),
    ("one-hot bytes", lambda _: F.cross_entropy(SCORES, ONE_HOT.byte()), TypeError, "got Byte", "target.float()"),
    ("one-hot for nll_loss", lambda _: F.nll_loss(SCORES, ONE_HOT), ValueError, "nll_loss", "[2, 10]", ".argmax(1)"),
    ("exchanged", lambda _: F.cross_entropy(CLASSES, SCORES), TypeError, "cross_entropy", "got int64", "[2]",
     "other order?", "scores first, then targets"),
    ("exchanged, layer", lambda _: nn.CrossEntropyLoss()(CLASSES, SCORES), TypeError, "got int64", "scores first"),
    ("exchanged, one-hot", lambda _: F.cross_entropy(ONE_HOT, SCORES), TypeError, "got int64", "scores first"),
    ("exchanged, nll_loss", lambda _: F.nll_loss(CLASSES, SCORES), TypeError, "nll_loss", "got int64", "scores first"),
    ("argmax of the scores", lambda _: F.cross_entropy(SCORES.argmax(1), CLASSES), TypeError, "float32", "got int64"),
    ("a list of classes", lambda _: F.cross_entropy(SCORES, [3, 1]), TypeError, "'target'", "must be Tensor", "list"),
    ("an array of classes", lambda _: F.cross_entropy(SCORES, np.array([3, 1])), TypeError, "'target'", "ndarray",
     "cnn.from_numpy"),
    # A layer made of its input
    ("ReLU(x)", lambda _: nn.ReLU(SCORES), TypeError, made("ReLU"), "'inplace' got a Tensor", "ReLU()(input)"),
    ("ReLU(torch)", lambda _: nn.Dropout(p=SCORES), TypeError, made("Dropout"), "'p' got a Tensor"),
    ("Sigmoid(x)", lambda _: nn.Sigmoid(SCORES), TypeError, made("Sigmoid"), "takes no Tensor", "Sigmoid()(input)"),
    ("Softmax(x)", lambda _: nn.Softmax(SCORES), TypeError, made("Softmax"), "'dim' got a Tensor", "Softmax()(input)"),
    ("Flatten(x)", lambda _: nn.Flatten(SCORES), TypeError, made("Flatten"), "'start_dim' got a Tensor"),
    ("MaxPool2d(x, 2)", lambda _: nn.MaxPool2d(SCORES, 2), TypeError, "'kernel_size' got", "MaxPool2d(...)(input)"),
    ("Linear(x, 2)", lambda _: nn.Linear(SCORES, 2), TypeError, made("Linear"), "'in_features' got a Tensor"),
    ("BatchNorm2d(x)", lambda _: nn.BatchNorm2d(SCORES), TypeError, made("BatchNorm2d"), "'num_features' got"),
    ("CrossEntropyLoss(y, t)", lambda _: nn.CrossEntropyLoss(SCORES, CLASSES), TypeError, made("CrossEntropyLoss"),
     "'size_average' got a Tensor", "CrossEntropyLoss()(input, target)"),
    ("MSELoss(y, t)", lambda _: nn.MSELoss(SCORES, SCORES), TypeError, made("MSELoss"), "MSELoss()(input, target)"),
    ("Sequential(x)", lambda _: nn.Sequential(SCORES), TypeError, "torch.FloatTensor is not a Module subclass"),
    # The order of an image, and its batch
    ("channels last", lambda _: nn.Conv2d(3, 8, 3)(BATCH), ValueError, "conv2d", "(2, 16, 16, 3)", "3 channels",
     "got 16", "x.permute(0, 3, 1, 2)"),
    ("lone, channels last", lambda _: nn.Conv2d(3, 8, 3)(IMAGE), ValueError, "3 channels", "x.permute(2, 0, 1)"),
    ("norm, channels last", lambda _: nn.BatchNorm2d(3)(BATCH), ValueError, "16 elements not 3", "permute(0, 3, 1, 2)"),
    ("norm, in evaluation", lambda _: nn.BatchNorm2d(3).eval()(BATCH), ValueError, "not 3", "permute(0, 3, 1, 2)"),
    ("Normalize, last", lambda _: T.Normalize([0.5] * 3, [0.5] * 3)(IMAGE), ValueError, "16 channels, got 3",
     "x.permute(2, 0, 1)"),
    ("no channels", lambda _: nn.Conv2d(1, 8, 3)(IMAGE), ValueError, "1 channels", "got 16", "x.unsqueeze(1)"),
    ("no batch", lambda _: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 9))(cnn.zeros(3, 8, 8)),
     ValueError, "2 (Linear)", "36 features", "expects 144", "without a batch?", "x.unsqueeze(0)"),
    ("not flattened", lambda _: nn.Linear(144, 9)(cnn.zeros(5, 4, 6, 6)), ValueError, "linear", "6 features",
     "expects 144", "x.flatten(1)"),
    ("norm without batch", lambda _: nn.BatchNorm2d(3)(cnn.zeros(3, 8, 8)), ValueError, "BatchNorm2d", "4D", "3D"),
    # Transforms and batches
    ("one transform", lambda _: T.Compose(T.ToTensor()), TypeError, "Compose: transforms", "list", "ToTensor", "[]"),
    ("a class of transforms", lambda _: T.Compose([T.ToTensor]), TypeError, "Compose: ToTensor is a class", "make one"),
    ("Normalize first", lambda _: T.Normalize([0.5], [0.5])(PICTURE), TypeError, "Tensor Image", "ToTensor() in front"),
    ("size as text", lambda _: T.Resize("32"), TypeError, "Size should be int", "str"),
    ("crop as text", lambda _: T.CenterCrop("32"), TypeError, "Size should be int", "'32'"),
    ("p as text", lambda _: T.RandomHorizontalFlip("a"), TypeError, "RandomHorizontalFlip: p", "number", "got 'a'"),
    ("batch of pictures", lambda _: next(iter(DataLoader([PICTURE]))), TypeError, "collate", "PIL", "ToTensor()"),
    ("batch of nothing", lambda _: next(iter(DataLoader([None]))), TypeError, "collate", "NoneType", "nothing?"),
    ("nn.relu(x)", lambda _: nn.relu(SCORES), AttributeError, "'relu'", "nn.functional.relu", "nn.ReLU"),
    ("nn.max_pool2d(x)", lambda _: nn.max_pool2d(SCORES, 2), AttributeError, "functional.max_pool2d", "MaxPool2d"),
    # Optimisers
    ("layers in a list", lambda _: optim.SGD(PlainList().parameters()), ValueError, "empty parameter list",
     "plain list", "nn.ModuleList"),
    ("lr as text", lambda _: optim.SGD(parameters(), lr="0.1"), TypeError, "learning rate", "number", "got '0.1'",
     "float('0.1')"),
    ("lr None", lambda _: optim.Adam(parameters(), lr=None), TypeError, "learning rate", "number", "got None"),
    ("lr first", lambda _: optim.SGD(0.1, parameters()), TypeError, "learning rate", "number", "got generator"),
    ("momentum as text", lambda _: optim.SGD(parameters(), momentum="a"), TypeError, "momentum", "number", "got 'a'"),
    ("weight_decay", lambda _: optim.AdamW(parameters(), weight_decay=[0]), TypeError, "weight_decay", "got [0]"),
    ("one beta", lambda _: optim.Adam(parameters(), betas=0.9), TypeError, "betas", "two numbers", "got 0.9"),
    ("betas as text", lambda _: optim.Adam(parameters(), betas=("a", 0.9)), TypeError, "betas[0]", "number", "'a'"),
    ("not called", lambda _: optim.SGD(nn.Linear(1, 1).parameters), TypeError, "got method", ".parameters()"),
    ("step_size as text", lambda _: optim.lr_scheduler.StepLR(optim.SGD(parameters()), "3"), TypeError,
     "StepLR: step_size", "int", "got '3'"),
    # Numbers as text
    ("Dropout a", lambda _: nn.Dropout("a"), TypeError, "Dropout: p", "number", "got 'a'"),
    ("Dropout 0.5", lambda _: nn.Dropout2d("0.5"), TypeError, "Dropout2d: p", "got '0.5'", "float('0.5') is 0.5"),
    ("dropout a", lambda _: F.dropout(SCORES, "a"), TypeError, "dropout: p", "number", "got 'a'"),
    ("features as text", lambda _: nn.BatchNorm2d("3"), TypeError, "BatchNorm2d: num_features", "int", "got '3'"),
    ("batch_size as text", lambda _: DataLoader([1], batch_size="2"), ValueError, "batch_size", "got batch_size='2'"),
    ("workers as text", lambda _: DataLoader([1], num_workers="2"), TypeError, "num_workers", "int", "got '2'"),
)  # fmt: skip

THEIRS = "PyTorch's torch.Tensor", "cnn.from_numpy("
MIXED = [
    ("layer", lambda t: nn.Linear(2, 2)(t.zeros(1, 2)), "Linear: input", *THEIRS),
    ("convolution", lambda t: nn.Conv2d(1, 1, 1)(t.zeros(1, 1, 2, 2)), "Conv2d: input", *THEIRS),
    ("weight", lambda t: F.conv2d(cnn.zeros(1, 1, 2, 2), t.zeros(1, 1, 1, 1)), "conv2d: weight", *THEIRS),
    ("+", lambda t: cnn.zeros(2) + t.zeros(2), "add(): argument 'other'", *THEIRS),
    ("+, theirs first", lambda t: t.zeros(2) + cnn.zeros(2), "add(): argument 'other'", *THEIRS),
    ("*", lambda t: cnn.zeros(2) * t.zeros(2), "mul(): argument 'other'", *THEIRS),
    ("/", lambda t: cnn.zeros(2) / t.zeros(2), "div(): argument 'other'", *THEIRS),
    ("@", lambda t: cnn.zeros(2, 2) @ t.zeros(2, 2), "matmul(): argument 'other'", *THEIRS),
    ("==", lambda t: cnn.zeros(2) == t.zeros(2), "eq(): argument 'other'", *THEIRS),
    ("!=", lambda t: cnn.zeros(2) != t.zeros(2), "ne(): argument 'other'", *THEIRS),
    (">, theirs first", lambda t: t.zeros(2) > cnn.zeros(2), "lt(): argument 'other'", *THEIRS),
    ("in place", lambda t: cnn.zeros(2).add_(t.zeros(2)), "add_()", *THEIRS),
    ("copy_", lambda t: cnn.zeros(2).copy_(t.zeros(2)), "copy_()", *THEIRS),
    ("loss", lambda t: F.cross_entropy(SCORES, t.tensor([1, 2])), "cross_entropy(): argument 'target'", *THEIRS),
    ("relu", lambda t: F.relu(t.zeros(2)), "relu(): argument 'input'", *THEIRS),
    ("sum", lambda t: cnn.sum(t.zeros(2)), "sum(): argument 'input'", *THEIRS),
    ("where", lambda t: cnn.where(cnn.zeros(2) > 0, cnn.zeros(2), t.zeros(2)), "where(): argument 'other'", *THEIRS),
    ("cat", lambda t: cnn.cat([cnn.zeros(2), t.zeros(2)]), "element 1", *THEIRS),
    ("from_numpy", lambda t: cnn.from_numpy(t.zeros(2)), "expected np.ndarray", *THEIRS),
    ("batch", lambda t: next(iter(DataLoader([t.zeros(2)] * 2))), "default_collate", "torch.Tensor", THEIRS[1]),
    ("parameters", lambda t: optim.SGD(t.nn.Linear(2, 2).parameters()), "optimize Tensors", "PyTorch's torch.nn"),
    ("Module", lambda t: nn.Sequential(t.nn.Linear(2, 2)), "PyTorch's torch.nn", "no Module of cnn's", "cnn.nn"),
    ("Parameter", lambda t: setattr(nn.Linear(2, 2), "weight", t.nn.Parameter(t.zeros(2, 2))), "PyTorch's", "'weight'"),
    ("state_dict", lambda t: nn.Linear(2, 2).load_state_dict(t.nn.Linear(2, 2).state_dict()), '"weight"', *THEIRS),
    ("save", lambda t: cnn.save({"a": t.zeros(2)}, "never.pt"), "cannot save", *THEIRS),
    ("ReLU(x)", lambda t: nn.ReLU(t.zeros(2)), "ReLU(...) only makes the layer", "'inplace' got a Tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "says"), ROWS)
def test_a_mistake_is_said_clearly(make, error, says, tmp_path):
    check_message(make, error, says, tmp_path)


@needs_torch
@pytest.mark.parametrize(("make", "says"), [pytest.param(m, s, id=name) for name, m, *s in MIXED])
def test_a_tensor_of_pytorch_is_named(make, says, tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    check_message(lambda _: make(torch), (TypeError, RuntimeError), says, tmp_path)


def test_what_is_right_is_still_taken():
    twice = T.Compose(t for t in [T.ToTensor(), T.Normalize(0.5, 0.5)])
    assert twice(PICTURE).mean() == twice(PICTURE).mean() == -1
    nn.CrossEntropyLoss(cnn.ones(10))(SCORES, CLASSES)
    nn.BCEWithLogitsLoss(weight=cnn.ones(10), pos_weight=cnn.ones(10))(SCORES, SCORES)
    nn.ParameterList([cnn.zeros(2)]), nn.Identity(SCORES)
    optim.SGD(parameters(), lr=cnn.tensor(0.1)), optim.SGD(parameters(), lr=np.float32(0.1))
    assert F.dropout(SCORES, np.float64(0.5)).shape == SCORES.shape
    assert nn.Dropout(cnn.tensor(0.5).item()).p == 0.5
