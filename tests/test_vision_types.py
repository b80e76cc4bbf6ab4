"""Images of every type: what 16-bit, float and boolean images become, and what is refused."""

import numpy as np
import pytest
from vision_oracle import needs_torchvision, torchvision

import cnn
from cnn.vision.transforms import functional as F
from cnn.vision.transforms import v2

Image = pytest.importorskip("PIL.Image")
DEEP = np.array([[0, 1000], [40000, 65535]], np.uint16)
TYPES = ["uint8", "uint16", "int8", "int16", "int32", "int64", "bool", "float16", "float32", "float64"]
# Here torchvision's factor is rounded up to the next power of two, and white becomes black.
OVERFLOWS = {("float32", "uint16"), *(("float16", name) for name in ("uint8", "int8", "int16", "uint16"))}
UNSAFE = {("float16", "int32"), ("float16", "int64")}  # torchvision gives -2147483648 for white
NOT_IN_TORCH = {("uint16", "int8"), ("uint16", "int16"), ("uint16", "uint8"), ("uint16", "bool")}


def white(name):
    return 1 if name == "bool" or "float" in name else np.iinfo(name).max


@pytest.mark.parametrize("scaled", [F.convert_image_dtype, lambda x, dtype: v2.ToDtype(dtype, scale=True)(x)])
@pytest.mark.parametrize("name", [t for t in TYPES if "float" not in t])
def test_white_is_one(scaled, name):
    image = cnn.from_numpy(np.array([[0, white(name)]]).astype(name))
    for real in (cnn.float16, cnn.float32, cnn.float64):
        assert scaled(image, real).tolist() == [[0, 1]]


@pytest.mark.parametrize(("name", "real"), sorted(OVERFLOWS))
def test_one_is_white(name, real):
    image = cnn.tensor([[0.0, 1.0]], dtype=getattr(cnn, name))
    assert F.convert_image_dtype(image, getattr(cnn, real)).tolist() == [[0, white(real)]]


@pytest.mark.parametrize(("name", "real"), sorted(UNSAFE))
def test_a_cast_without_enough_bits_is_refused(name, real):
    with pytest.raises(RuntimeError, match=f"cast from torch.{name} to torch.{real} cannot be performed safely"):
        F.convert_image_dtype(cnn.ones(2, 2, dtype=getattr(cnn, name)), getattr(cnn, real))


@needs_torchvision
@pytest.mark.parametrize("have", TYPES)
@pytest.mark.parametrize("want", TYPES)
def test_other_conversions_are_torchvisions(have, want):
    import torch

    if (have, want) in UNSAFE | NOT_IN_TORCH:
        return
    values = np.array([[0, 1, 7 if white(have) > 7 else 1, white(have)]]).astype(have)
    if "float" in have:
        values = np.array([[0, 0.25, 0.3, 0.9, 1]]).astype(have)
    if (have, want) in OVERFLOWS:
        values = values[:, :0]

    def converted(package, functional, dtype):
        try:
            return functional.convert_image_dtype(package.from_numpy(values.copy()), dtype)
        except RuntimeError as error:
            return str(error)

    ours = converted(cnn, F, getattr(cnn, want))
    theirs = converted(torch, torchvision.transforms.functional, getattr(torch, want))
    if isinstance(theirs, str):
        assert ours == theirs
        return
    assert ours.dtype is getattr(cnn, want)
    if "float16" == want and values.itemsize > 1 and "float" not in have:
        theirs = torch.tensor(values.astype(np.float64) / white(have), dtype=torch.float16)  # torchvision's overflows
    assert ours.tolist() == theirs.tolist()


def test_a_pillow_image_of_16_bits():
    image = Image.fromarray(DEEP)
    assert image.mode == "I;16"
    for tensor in (F.pil_to_tensor(image), v2.ToImage()(image), v2.ToImage()(DEEP), F.to_tensor(DEEP)):
        assert tensor.dtype is cnn.uint16 and tensor.tolist() == [DEEP.tolist()]
        assert tensor.clone().tolist() == [DEEP.tolist()] and "uint16" in repr(tensor)
        assert v2.ToDtype(cnn.float32, scale=True)(tensor).max().item() == 1.0
    assert np.array_equal(np.asarray(F.to_pil_image(F.pil_to_tensor(image))), DEEP)


@pytest.mark.parametrize("name", ["complex64", "complex128", "object", "S1", "datetime64[s]"])
@pytest.mark.parametrize("convert", [F.to_tensor, v2.ToImage()])
def test_an_array_that_no_tensor_can_hold(name, convert):
    with pytest.raises(TypeError, match="can't convert np.ndarray of type") as problem:
        convert(np.zeros((2, 2, 3), np.uint8).astype(name))
    assert "uint8, bool" in str(problem.value) or "uint8, and bool" in str(problem.value)


@pytest.mark.parametrize("convert", [F.to_tensor, v2.ToImage()])
def test_other_byte_orders_are_turned(convert):
    assert (convert(np.full((2, 2, 3), 1.5, ">f4")) + 1).tolist() == np.full((3, 2, 2), 2.5).tolist()
