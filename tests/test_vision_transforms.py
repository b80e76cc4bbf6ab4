"""The transforms beside torchvision's: the same images, and after random ones the same generator."""

import random

import numpy as np
import pytest
from vision_oracle import needs_torchvision, torchvision

import cnn
from cnn.vision import transforms as T
from cnn.vision.transforms import functional as F

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (40, 33, 3), dtype=np.uint8)
SMOOTH = np.clip(RGB / 8 + np.linspace(0, 200, 33)[None, :, None], 0, 255).astype(np.uint8)  # as photographs are
GREY = RGB[:, :, 0].copy()

KINDS = ["rgb", "grey", "uint8", "float", "batch", "grey float"]


def source(kind):
    if kind == "rgb":
        return Image.fromarray(SMOOTH)
    if kind == "grey":
        return Image.fromarray(GREY)
    planes = SMOOTH.transpose(2, 0, 1)
    arrays = {
        "uint8": planes,
        "float": planes.astype(np.float32) / 255,
        "batch": np.stack([planes, planes[:, ::-1], 255 - planes]).astype(np.float32) / 255,
        "grey float": GREY[None].astype(np.float32) / 255,
    }
    return np.ascontiguousarray(arrays[kind])


def both(kind):
    """The image for us and for torchvision."""
    image = source(kind)
    if isinstance(image, np.ndarray):
        import torch

        return cnn.from_numpy(image.copy()), torch.from_numpy(image.copy())
    return image, image


def values(image):
    """The numbers of an image, of a tuple of images, or of anything else as it is."""
    if isinstance(image, (tuple, list)):
        return [values(part) for part in image]
    if isinstance(image, Image.Image):
        return np.asarray(image)
    return image.numpy() if hasattr(image, "numpy") else np.asarray(image)


def check_same(ours, theirs, kind="", tolerance=0.0):
    a, b = values(ours), values(theirs)
    if isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            check_same(x, y, kind, tolerance)
        return
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    if hasattr(ours, "mode"):
        assert ours.mode == theirs.mode
    if tolerance == 0:
        np.testing.assert_array_equal(a, b)
    elif a.dtype == np.uint8:
        # A value near a half may be rounded either way, and a pixel's place near a border fall on either side.
        assert (a != b).mean() <= tolerance, f"{(a != b).mean():.4f} of the values differ"
    else:
        wrong = np.abs(a - b) > 2e-5
        assert wrong.mean() <= tolerance, f"{wrong.mean():.4f} of the values differ"


def seed_all(seed):
    import torch

    torch.manual_seed(seed)
    cnn.manual_seed(seed)


def check(make, kind, tolerance=0.0, repeats=1):
    """make(module of transforms) -> a transform; run on the same image from the same seed, several times."""
    ours, theirs = make(T), make(torchvision.transforms)
    assert repr(ours) == repr(theirs)
    for seed in range(repeats):
        a, b = both(kind)
        before = values(a).copy()
        seed_all(seed)
        random.seed(seed)
        x = ours(a)
        random.seed(seed)
        y = theirs(b)
        check_same(x, y, kind, tolerance)
        import torch

        assert cnn.rand(1).item() == torch.rand(1).item(), "another number of random draws"
        np.testing.assert_array_equal(values(a), before)


# Nothing random: name -> (make, kinds, share of values that may differ for tensors)
FIXED = {
    "CenterCrop": (lambda t: t.CenterCrop(20), KINDS, 0),
    "CenterCrop wider": (lambda t: t.CenterCrop((50, 21)), KINDS, 0),
    "CenterCrop odd": (lambda t: t.CenterCrop([41, 40]), KINDS, 0),
    "FiveCrop": (lambda t: t.FiveCrop(16), KINDS, 0),
    "TenCrop": (lambda t: t.TenCrop((16, 12), vertical_flip=True), KINDS, 0),
    "Pad": (lambda t: t.Pad(3), KINDS, 0),
    "Pad fill": (lambda t: t.Pad((3, 1), fill=7), KINDS, 0),
    "Pad colour": (lambda t: t.Pad((3, 1, 2, 0), fill=(1, 2, 3)), ["rgb"], 0),
    "Pad edge": (lambda t: t.Pad((1, 2, 3, 4), padding_mode="edge"), KINDS, 0),
    "Pad reflect": (lambda t: t.Pad((1, 2, 3, 4), padding_mode="reflect"), KINDS, 0),
    "Pad symmetric": (lambda t: t.Pad((1, 2, 3, 4), padding_mode="symmetric"), KINDS, 0),
    "Pad less": (lambda t: t.Pad((-1, 2, 3, -4), padding_mode="symmetric"), KINDS, 0),
    "Grayscale": (lambda t: t.Grayscale(), ["rgb", "uint8", "float", "batch"], 0.02),
    "Grayscale 3": (lambda t: t.Grayscale(3), KINDS, 0.02),
    "Resize": (lambda t: t.Resize(20), KINDS, 0.01),
    "Resize up": (lambda t: t.Resize((64, 48)), KINDS, 0.01),
    "Resize max": (lambda t: t.Resize(30, max_size=35), KINDS, 0.01),
    "Resize bicubic": (lambda t: t.Resize((17, 90), t.InterpolationMode.BICUBIC), KINDS, 0.01),
    "Resize number": (lambda t: t.Resize([20], 3), KINDS, 0.01),
    "Resize nearest": (lambda t: t.Resize((17, 90), t.InterpolationMode.NEAREST), KINDS, 0),
    "Resize exact": (lambda t: t.Resize((17, 90), t.InterpolationMode.NEAREST_EXACT), KINDS, 0),
    "Resize lanczos": (lambda t: t.Resize(17, t.InterpolationMode.LANCZOS), ["rgb", "grey"], 0),
    "Resize plain": (lambda t: t.Resize((17, 90), antialias=False), ["uint8", "float", "batch"], 0.01),
    "Resize plain cubic": (
        lambda t: t.Resize((17, 90), t.InterpolationMode.BICUBIC, antialias=False),
        ["uint8", "float"],
        0.01,
    ),
    "GaussianBlur": (lambda t: t.GaussianBlur(5, sigma=1.5), KINDS, 0.01),
    "ToTensor": (lambda t: t.ToTensor(), ["rgb", "grey"], 0),
    "PILToTensor": (lambda t: t.PILToTensor(), ["rgb", "grey"], 0),
    "ToPILImage": (lambda t: t.ToPILImage(), ["uint8", "float", "grey float"], 0),
    "ToPILImage mode": (lambda t: t.ToPILImage("YCbCr"), ["uint8", "float"], 0),
    "Normalize": (lambda t: t.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)), ["float", "batch"], 0),
    "Normalize one": (lambda t: t.Normalize([0.5], [0.25]), ["float", "batch", "grey float"], 0),
    "Lambda": (lambda t: t.Lambda(lambda image: image), KINDS, 0),
    "Compose": (lambda t: t.Compose([t.Resize(20), t.ToTensor(), t.Normalize([0.5] * 3, [0.5] * 3)]), ["rgb"], 0),
}

PIL, ALL, COLOUR = ["rgb", "grey"], KINDS, ["rgb", "uint8", "float", "batch"]
BYTES = ["rgb", "grey", "uint8"]
RANDOM = {
    "RandomHorizontalFlip": (lambda t: t.RandomHorizontalFlip(), ALL, 0),
    "RandomVerticalFlip": (lambda t: t.RandomVerticalFlip(p=0.3), ALL, 0),
    "RandomCrop": (lambda t: t.RandomCrop(20), ALL, 0),
    "RandomCrop padding": (lambda t: t.RandomCrop(33, padding=4), ALL, 0),
    "RandomCrop same": (lambda t: t.RandomCrop((40, 33)), ALL, 0),
    "RandomCrop needed": (lambda t: t.RandomCrop((50, 20), pad_if_needed=True, fill=9), ALL, 0),
    "RandomCrop reflect": (lambda t: t.RandomCrop((40, 30), padding=(2, 3), padding_mode="reflect"), ALL, 0),
    "RandomResizedCrop": (lambda t: t.RandomResizedCrop(24), ALL, 0.01),
    "RandomResizedCrop wide": (lambda t: t.RandomResizedCrop((16, 8), (0.9, 1.0), (5.0, 6.0)), ALL, 0.01),
    "RandomRotation": (lambda t: t.RandomRotation(30), ALL, 0.01),
    "RandomRotation bilinear": (
        lambda t: t.RandomRotation((10, 80), t.InterpolationMode.BILINEAR, fill=5),
        ["rgb", "grey", "uint8", "float"],
        0.01,
    ),
    "RandomRotation expand": (lambda t: t.RandomRotation(45, expand=True, fill=1), ALL, 0.01),
    "RandomRotation center": (lambda t: t.RandomRotation(45, center=(3, 5)), ALL, 0.01),
    "RandomAffine": (
        lambda t: t.RandomAffine(20, translate=(0.1, 0.2), scale=(0.8, 1.2), shear=10, fill=3),
        ALL,
        0.01,
    ),
    "RandomAffine bilinear": (
        lambda t: t.RandomAffine(0, shear=(-5, 5, -9, 9), interpolation=t.InterpolationMode.BILINEAR),
        ALL,
        0.01,
    ),
    "RandomAffine center": (lambda t: t.RandomAffine((5, 9), center=(3, 5), fill=(1, 2, 3)), COLOUR, 0.01),
    "RandomPerspective": (lambda t: t.RandomPerspective(p=0.8), ALL, 0.02),
    "RandomPerspective nearest": (
        lambda t: t.RandomPerspective(0.3, 0.9, t.InterpolationMode.NEAREST, fill=4),
        ALL,
        0.02,
    ),
    "ColorJitter": (lambda t: t.ColorJitter(0.4, 0.4, 0.4, 0.1), COLOUR, 0.02),
    "ColorJitter hue": (lambda t: t.ColorJitter(hue=0.5), ALL, 0.02),
    "ColorJitter range": (lambda t: t.ColorJitter(brightness=(0.2, 3), contrast=1.5), ALL, 0.02),
    "RandomGrayscale": (lambda t: t.RandomGrayscale(0.5), ALL, 0.02),
    "RandomErasing": (lambda t: t.RandomErasing(0.7), ["float", "batch", "grey float"], 0),
    "RandomErasing colour": (lambda t: t.RandomErasing(1, (0.1, 0.2), (0.5, 2), (1, 2, 3)), ["float", "batch"], 0),
    "RandomErasing noise": (lambda t: t.RandomErasing(1, value="random"), ["float", "grey float"], 1e-9),
    "RandomErasing never": (lambda t: t.RandomErasing(1, (0.9, 1), (9, 9)), ["float"], 0),
    "GaussianBlur": (lambda t: t.GaussianBlur((3, 7)), ALL, 0.01),
    "RandomInvert": (lambda t: t.RandomInvert(), ALL, 0),
    "RandomPosterize": (lambda t: t.RandomPosterize(3), BYTES, 0),
    "RandomSolarize": (lambda t: t.RandomSolarize(0.7), ALL, 0),
    "RandomAdjustSharpness": (lambda t: t.RandomAdjustSharpness(2.5), ALL, 0.01),
    "RandomAutocontrast": (lambda t: t.RandomAutocontrast(), ALL, 0.01),
    "RandomEqualize": (lambda t: t.RandomEqualize(), BYTES, 0),
    "RandomApply": (lambda t: t.RandomApply([t.RandomCrop(20), t.RandomHorizontalFlip()], p=0.4), ALL, 0),
    "RandomChoice": (lambda t: t.RandomChoice([t.RandomCrop(20), t.RandomVerticalFlip(1)]), ALL, 0),
    "RandomChoice p": (lambda t: t.RandomChoice([t.CenterCrop(20), t.CenterCrop(10)], p=[0.2, 0.8]), ALL, 0),
    "RandomOrder": (lambda t: t.RandomOrder([t.RandomCrop(20), t.Pad(2), t.RandomHorizontalFlip()]), ALL, 0),
    "RandAugment": (lambda t: t.RandAugment(), BYTES, 0),
    "RandAugment more": (lambda t: t.RandAugment(3, 20, 40, t.InterpolationMode.BILINEAR, fill=128), BYTES, 0),
    "TrivialAugmentWide": (lambda t: t.TrivialAugmentWide(), BYTES, 0),
    "AutoAugment": (lambda t: t.AutoAugment(), BYTES, 0),
    "AutoAugment CIFAR10": (lambda t: t.AutoAugment(t.AutoAugmentPolicy.CIFAR10, fill=100), BYTES, 0),
    "AutoAugment SVHN": (lambda t: t.AutoAugment(t.AutoAugmentPolicy.SVHN), BYTES, 0),
    "usual CIFAR-10": (
        lambda t: t.Compose(
            [
                t.RandomCrop(32, padding=4),
                t.RandomHorizontalFlip(),
                t.ToTensor(),
                t.Normalize((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
            ]
        ),
        ["rgb"],
        0,
    ),
}


def cases(table):
    return [pytest.param(name, kind, id=f"{name} {kind}") for name, (_, kinds, _) in table.items() for kind in kinds]


def allowed(kind, tolerance):
    """Pillow does the work on its images: there nothing may differ."""
    return 0 if kind in PIL else tolerance


@needs_torchvision
@pytest.mark.parametrize(("name", "kind"), cases(FIXED))
def test_fixed_transforms(name, kind):
    make, _, tolerance = FIXED[name]
    check(make, kind, allowed(kind, tolerance))


@needs_torchvision
@pytest.mark.parametrize(("name", "kind"), cases(RANDOM))
def test_random_transforms(name, kind):
    make, _, tolerance = RANDOM[name]
    if "Augment" in name:
        # Magnitudes come from torch.linspace, whose last bit depends on the processor.
        check(make, kind, 0.03 if kind in PIL else 0.1, repeats=12)
    else:
        check(make, kind, allowed(kind, tolerance), repeats=4)


@needs_torchvision
@pytest.mark.parametrize("kind", KINDS)
def test_functions_of_colour(kind):
    theirs = torchvision.transforms.functional
    a, b = both(kind)
    for name, arguments in [
        ("adjust_brightness", (1.7,)),
        ("adjust_contrast", (0.3,)),
        ("adjust_saturation", (2.0,)),
        ("adjust_hue", (-0.2,)),
        ("adjust_gamma", (0.7, 1.2)),
        ("adjust_sharpness", (0.4,)),
        ("invert", ()),
        ("autocontrast", ()),
    ]:
        check_same(getattr(F, name)(a, *arguments), getattr(theirs, name)(b, *arguments), kind, allowed(kind, 0.02))
    assert F.get_dimensions(a) == theirs.get_dimensions(b)
    assert F.get_image_size(a) == theirs.get_image_size(b)
    assert F.get_image_num_channels(a) == theirs.get_image_num_channels(b)


@needs_torchvision
@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_every_mode_of_pillow_to_tensors_and_back(mode):
    image = Image.fromarray(RGB).convert("L").convert(mode) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    theirs = torchvision.transforms.functional
    check_same(F.to_tensor(image), theirs.to_tensor(image))
    ours, expected = F.pil_to_tensor(image), theirs.pil_to_tensor(image)
    check_same(ours, expected)
    if mode not in ("1", "P", "I;16"):
        check_same(F.to_pil_image(ours), theirs.to_pil_image(expected))
    check_same(F.hflip(F.pad(image, 2)), theirs.hflip(theirs.pad(image, 2)))


@needs_torchvision
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("target", ["uint8", "int8", "int16", "int32", "int64", "float32", "float64"])
def test_convert_image_dtype(dtype, target):
    import torch

    data = RNG.random((3, 4, 5)) if dtype.startswith("float") else RNG.integers(0, 127, (3, 4, 5))
    data = data.astype(dtype)
    a, b = cnn.from_numpy(data), torch.from_numpy(data)
    ours, theirs = (
        T.ConvertImageDtype(getattr(cnn, target)),
        torchvision.transforms.ConvertImageDtype(getattr(torch, target)),
    )
    try:
        expected = theirs(b)
    except RuntimeError:
        with pytest.raises(RuntimeError, match="cannot be performed safely"):
            ours(a)
        return
    check_same(ours(a), expected)


@needs_torchvision
def test_arrays_to_tensors():
    theirs = torchvision.transforms.functional
    for array in (RGB, GREY, RGB[::2, ::-1], RGB.astype(np.float64), GREY.astype(np.int32), RGB[:, :, :2]):
        check_same(F.to_tensor(array), theirs.to_tensor(array.copy()))
    for array in (RGB, GREY, RGB.astype(np.float32) / 300, GREY.astype(np.int32)):
        check_same(F.to_pil_image(array), theirs.to_pil_image(array))


@needs_torchvision
def test_batches_take_one_draw_for_all():
    check(lambda t: t.Compose([t.RandomCrop(20, padding=3), t.RandomHorizontalFlip()]), "batch", repeats=4)


def test_inplace_normalize_and_erase():
    x = cnn.from_numpy(source("float").copy())
    assert T.Normalize([0.5] * 3, [0.5] * 3, inplace=True)(x) is x
    assert x._a.min() < 0
    assert T.RandomErasing(1, inplace=True)(x) is x


def test_a_sequential_of_transforms():
    net = cnn.nn.Sequential(T.CenterCrop(10), T.Normalize([0.5] * 3, [0.5] * 3))
    assert net(cnn.from_numpy(source("float"))).shape == (3, 10, 10)


def test_v2_has_the_same_transforms():
    from cnn.vision.transforms import v2

    image = source("rgb")
    expected = T.ToTensor()(T.Resize(20)(image))
    ours = v2.Compose([v2.Resize(20), v2.ToImage(), v2.ToDtype(cnn.float32, scale=True), v2.Identity()])
    np.testing.assert_array_equal(ours(image).numpy(), expected.numpy())
    assert v2.ToDtype(cnn.float64)(expected).dtype == cnn.float64
    missing = [name for name in T.__all__ if name != "v2" and getattr(v2, name, None) is not getattr(T, name)]
    assert missing == []


MISTAKES = {
    "ToTensor of a list": (
        lambda: T.ToTensor()([1]),
        TypeError,
        "pic should be PIL Image or ndarray. Got <class 'list'>",
    ),
    "ToTensor 4d": (lambda: F.to_tensor(np.zeros((1, 2, 3, 4))), ValueError, "Got 4 dimensions"),
    "ToPILImage of a list": (lambda: F.to_pil_image([1]), TypeError, "should be Tensor or ndarray"),
    "ToPILImage 5 channels": (lambda: F.to_pil_image(np.zeros((4, 4, 5))), ValueError, "not have > 4 channels. Got 5"),
    "ToPILImage mode": (lambda: F.to_pil_image(RGB, "L"), ValueError, r"Only modes \['RGB', 'YCbCr', 'HSV'\]"),
    "ToPILImage grey mode": (lambda: F.to_pil_image(GREY, "RGB"), ValueError, r"Incorrect mode \(RGB\)"),
    "Normalize of an image": (
        lambda: T.Normalize([0], [1])(source("rgb")),
        TypeError,
        "img should be Tensor Image. Got .*PIL",
    ),
    "Normalize of bytes": (
        lambda: T.Normalize([0], [1])(both("uint8")[0]),
        TypeError,
        "should be a float tensor. Got uint8",
    ),
    "Normalize by 0": (lambda: T.Normalize([0.5], [0])(both("float")[0]), ValueError, "std evaluated to zero"),
    "Normalize 2d": (lambda: T.Normalize([0], [1])(cnn.ones(3, 4)), ValueError, r"Got tensor.size\(\) = \[3, 4\]"),
    "RandomCrop too large": (
        lambda: T.RandomCrop(64)(source("rgb")),
        ValueError,
        r"Required crop size \(64, 64\) is larger than input image size \(40, 33\)",
    ),
    "FiveCrop too large": (lambda: T.FiveCrop(64)(source("rgb")), ValueError, "bigger than input size"),
    "RandomCrop of three sizes": (lambda: T.RandomCrop((1, 2, 3)), ValueError, "provide only two dimensions"),
    "Resize of a name": (lambda: T.Resize(20, "bilinear"), TypeError, "interpolation should be an InterpolationMode"),
    "Resize lanczos": (
        lambda: T.Resize(9, T.InterpolationMode.LANCZOS)(both("float")[0]),
        ValueError,
        "'lanczos' is unsupported",
    ),
    "Resize max": (lambda: T.Resize(30, max_size=20)(source("rgb")), ValueError, "must be strictly greater"),
    "Pad mode": (lambda: T.Pad(1, padding_mode="wrap"), ValueError, "constant, edge, reflect or symmetric"),
    "Pad three": (lambda: T.Pad((1, 2, 3)), ValueError, "not a 3 element tuple"),
    "Pad colours": (lambda: T.Pad(1, fill=(1, 2))(source("rgb")), ValueError, r"\(2 != 3\)"),
    "Rotation negative": (lambda: T.RandomRotation(-5), ValueError, "must be positive"),
    "Rotation of three": (lambda: T.RandomRotation((1, 2, 3)), ValueError, "length 2"),
    "Affine translate": (lambda: T.RandomAffine(0, translate=(2, 0)), ValueError, "between 0 and 1"),
    "Affine scale": (lambda: T.RandomAffine(0, scale=(0, 1)), ValueError, "should be positive"),
    "Jitter": (lambda: T.ColorJitter(hue=0.6), ValueError, "hue values should be between"),
    "Jitter type": (lambda: T.ColorJitter(brightness="a"), TypeError, "single number or a list/tuple"),
    "Hue": (lambda: F.adjust_hue(source("rgb"), 2), ValueError, "not in"),
    "Erasing p": (lambda: T.RandomErasing(2), ValueError, "between 0 and 1"),
    "Erasing value": (lambda: T.RandomErasing(1, value="x"), ValueError, "should be 'random'"),
    "Erasing of an image": (
        lambda: T.RandomErasing(1)(source("rgb")),
        TypeError,
        "img should be Tensor Image. Got .*PIL",
    ),
    "Blur even": (lambda: T.GaussianBlur(4), ValueError, "odd and positive"),
    "Lambda": (lambda: T.Lambda(3), TypeError, "should be callable, got 'int'"),
    "flip of an array": (lambda: F.hflip(RGB), TypeError, "should be PIL Image or Tensor. Got <class 'numpy.ndarray'>"),
    "flip of a vector": (lambda: F.hflip(cnn.ones(3)), TypeError, "not a torch image"),
    "posterize floats": (lambda: F.posterize(both("float")[0], 2), TypeError, "uint8"),
    "channels": (lambda: F.invert(cnn.ones(2, 4, 4)), TypeError, r"permitted channel values are \[1, 3\], but found 2"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_explained(case):
    call, kind, words = MISTAKES[case]
    with pytest.raises(kind, match=words):
        call()
