"""The image data sets beside torchvision's, and the drawn one."""

import gzip
import hashlib
import os
import struct
import time

import cifar_copies as copies
import numpy as np
import pytest
from vision_oracle import needs_torchvision, torchvision

import cnn
from cnn.utils.data import DataLoader, Subset, default_collate
from cnn.vision import datasets, utils
from cnn.vision import transforms as T
from cnn.vision.datasets import DatasetError, shapes

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("CNN_DATA_DIR", raising=False)
    monkeypatch.delenv("CNN_CIFAR10_URL", raising=False)


@pytest.fixture
def small_cifar(tmp_path, recwarn):
    copies.write_folder(tmp_path / "cifar-10-batches-py", copies.python_files())
    return str(tmp_path)


@pytest.fixture
def unchecked(monkeypatch):
    """torchvision without its MD5 checks, which only the public files pass."""
    for module in (torchvision.datasets.cifar, torchvision.datasets.mnist):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: os.path.isfile(path))


# ---- CIFAR ----------------------------------------------------------------------------------------------------------


@needs_torchvision
@pytest.mark.parametrize("train", [True, False])
def test_cifar10_is_torchvisions(small_cifar, unchecked, train):
    ours = datasets.CIFAR10(small_cifar, train, transform=T.ToTensor())
    theirs = torchvision.datasets.CIFAR10(small_cifar, train, transform=torchvision.transforms.ToTensor())
    assert repr(ours) == repr(theirs)
    np.testing.assert_array_equal(ours.data, theirs.data)
    assert ours.data.dtype == np.uint8
    assert ours.targets == theirs.targets
    assert (ours.classes, ours.class_to_idx) == (theirs.classes, theirs.class_to_idx)
    assert len(ours) == len(theirs)
    for i in (0, 3, -1):
        np.testing.assert_array_equal(ours[i][0].numpy(), theirs[i][0].numpy())
        assert ours[i][1] == theirs[i][1]


def test_an_item_without_transform_is_a_pillow_image(small_cifar):
    data = datasets.CIFAR10(root=small_cifar, train=True)
    image, label = data[2]
    assert (image.mode, image.size) == ("RGB", (32, 32))
    assert type(label) is int
    changed = datasets.CIFAR10(small_cifar, target_transform=lambda label: -label)
    assert changed[2][1] == -label
    data.data = data.data[:3]  # scripts cut data sets like this
    assert len(data) == 3


def test_the_data_is_not_copied(small_cifar):
    data = datasets.CIFAR10(small_cifar)
    assert data.data.base is not None
    assert data.data.transpose(0, 3, 1, 2).flags.c_contiguous


def test_cifar10_missing(tmp_path):
    with pytest.raises(
        RuntimeError, match=f"CIFAR-10 not found in {tmp_path}.*You can use download=True to download it"
    ):
        datasets.CIFAR10(tmp_path)
    with pytest.raises(DatasetError, match="CIFAR-100 not found"):
        datasets.CIFAR100(str(tmp_path))


@copies.needs_real_copy
@pytest.mark.filterwarnings("ignore:.*not the public archive")
def test_the_real_cifar10():
    data = datasets.CIFAR10(copies.REAL, train=False)
    assert data.data.shape == (10000, 32, 32, 3)
    assert np.bincount(data.targets).tolist() == [1000] * 10
    assert data.classes == copies.NAMES
    assert [data.classes[label] for label in data.targets[:4]] == ["cat", "ship", "ship", "airplane"]


# ---- whole batches of bytes -----------------------------------------------------------------------------------------

NORMALIZE = T.Normalize((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
FAST = {
    "ToTensor": T.ToTensor(),
    "Compose": T.Compose([T.ToTensor()]),
    "Normalize": T.Compose([T.ToTensor(), NORMALIZE]),
    "Normalize twice": T.Compose([T.ToTensor(), NORMALIZE, T.Normalize([0.5], [2.0])]),
    "usual": T.Compose([T.RandomCrop(32, padding=4), T.RandomHorizontalFlip(), T.ToTensor(), NORMALIZE]),
    "flips": T.Compose([T.RandomHorizontalFlip(0.3), T.RandomVerticalFlip(0.7), T.ToTensor()]),
    "flip and crops": T.Compose([T.RandomHorizontalFlip(), T.RandomCrop((20, 24)), T.RandomCrop(24, 3), T.ToTensor()]),
    "margins": T.Compose([T.RandomCrop(30, padding=(1, 2, 3, 4)), T.ToTensor(), NORMALIZE]),
    "nothing is drawn": T.Compose([T.RandomCrop(32), T.RandomCrop((32, 32), padding=0), T.ToTensor()]),
    "only columns differ": T.Compose([T.RandomCrop((32, 12)), T.RandomHorizontalFlip(), T.ToTensor()]),
    "crop of a margin": T.Compose([T.RandomCrop(4, padding=20), T.RandomVerticalFlip(), T.ToTensor(), NORMALIZE]),
    "padded": T.Compose([T.Pad((1, 2)), T.RandomHorizontalFlip(1), T.RandomCrop(32), T.ToTensor(), NORMALIZE]),
    "cut": T.Compose([T.Pad([-1, 0, -3, 2]), T.RandomHorizontalFlip(1), T.ToTensor()]),
    "middle": T.Compose([T.RandomVerticalFlip(), T.CenterCrop((21, 32)), T.CenterCrop(16), T.ToTensor()]),
    "on tensors": T.Compose([T.ToTensor(), T.RandomHorizontalFlip(), T.RandomCrop(32, padding=4), NORMALIZE]),
    "within": T.Compose([T.Compose([T.RandomHorizontalFlip(), T.ToTensor()]), T.Compose([NORMALIZE])]),
    "version 2": T.v2.Compose(
        [T.v2.ToImage(), T.v2.RandomCrop(32, padding=4), T.v2.ToDtype(cnn.float32, scale=True), NORMALIZE]
    ),
}
ONE_BY_ONE = {
    "edge": T.Compose([T.RandomCrop(32, padding=4, padding_mode="reflect"), T.ToTensor()]),
    "fill": T.Compose([T.RandomCrop(32, padding=4, fill=9), T.ToTensor()]),
    "needed": T.Compose([T.RandomCrop(40, pad_if_needed=True), T.ToTensor()]),
    "after": T.Compose([T.ToTensor(), NORMALIZE, T.RandomCrop(32, padding=4)]),
    "larger middle": T.Compose([T.CenterCrop(40), T.ToTensor()]),
    "bytes": T.v2.ToImage(),
    "each pixel": T.Compose([T.ToTensor(), T.Normalize(cnn.rand(3, 32, 32), cnn.ones(3, 32, 32))]),
    "function": T.Compose([T.ToTensor(), lambda x: 2 * x]),
    "colour": T.Compose([T.ColorJitter(0.5), T.ToTensor()]),
}


@pytest.mark.parametrize("name", [*FAST, *ONE_BY_ONE])
def test_batches_have_the_bits_and_draws_of_single_images(small_cifar, name):
    transform = FAST.get(name) or ONE_BY_ONE[name]
    data = datasets.CIFAR10(small_cifar, transform=transform)
    indices = [7, 3, -2, 3, 19, 0]
    cnn.manual_seed(4)
    batch = data.__getbatch__(indices)
    assert (batch is NotImplemented) == (name in ONE_BY_ONE)
    state = cnn.get_rng_state().numpy()
    if name in FAST:
        cnn.manual_seed(4)
        samples = [data[i] for i in indices]
        np.testing.assert_array_equal(cnn.get_rng_state().numpy(), state)
        x, t = default_collate(samples)
        np.testing.assert_array_equal(batch[0].numpy(), x.numpy())
        assert batch[0].numpy().dtype == np.float32
        assert batch[0].is_contiguous()
        np.testing.assert_array_equal(batch[1].numpy(), t.numpy())
        assert batch[1].dtype == cnn.int64


@needs_torchvision
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_of_cifar10_is_torchs_batch_for_batch(small_cifar, unchecked, workers):
    import torch

    def loaders(t, data, load, **options):
        steps = [t.RandomCrop(32, padding=4), t.RandomHorizontalFlip(), t.ToTensor(), t.Normalize([0.5] * 3, [0.2] * 3)]
        return load(data.CIFAR10(small_cifar, transform=t.Compose(steps)), batch_size=6, shuffle=True, **options)

    ours = loaders(T, datasets, DataLoader, num_workers=workers)
    theirs = loaders(torchvision.transforms, torchvision.datasets, torch.utils.data.DataLoader, num_workers=workers)
    cnn.manual_seed(8)
    torch.manual_seed(8)
    for _ in range(2):
        for (x, t), (y, u) in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(x.numpy(), y.numpy())
            np.testing.assert_array_equal(t.numpy(), u.numpy())


def test_a_large_batch_in_every_instruction_set_and_memory_order(every_isa):
    """The words of the random stream are made 624 at a time; here they are made anew several times."""
    usual = datasets.Shapes(size=500, transform=FAST["usual"])
    for data in (usual.data, usual.data.copy(), np.asfortranarray(usual.data), usual.data[::-1, :, ::-1]):
        usual.data = data
        cnn.manual_seed(1)
        x, t = next(iter(DataLoader(usual, 500, shuffle=True)))
        state = cnn.get_rng_state().numpy()
        cnn.manual_seed(1)
        y, u = next(iter(DataLoader(usual, 500, shuffle=True, collate_fn=lambda samples: default_collate(samples))))
        np.testing.assert_array_equal(cnn.get_rng_state().numpy(), state)
        np.testing.assert_array_equal(x.numpy(), y.numpy())
        np.testing.assert_array_equal(t.numpy(), u.numpy())


def test_a_batch_follows_the_default_dtype():
    data = datasets.Shapes(size=20, transform=FAST["usual"])
    cnn.set_default_dtype(cnn.float64)
    try:
        cnn.manual_seed(3)
        x, _ = data.__getbatch__([4, 2])
        cnn.manual_seed(3)
        y = cnn.stack([data[i][0] for i in (4, 2)])
    finally:
        cnn.set_default_dtype(cnn.float32)
    assert x.dtype == cnn.float64
    np.testing.assert_array_equal(x.numpy(), y.numpy())


def test_mistakes_of_a_batch_are_those_of_an_image():
    too_large = datasets.Shapes(size=20, transform=T.Compose([T.RandomCrop(50, padding=4), T.ToTensor()]))
    with pytest.raises(ValueError, match=r"Required crop size \(50, 50\) is larger than input image size \(40, 40\)"):
        next(iter(DataLoader(too_large, 4)))
    no_std = datasets.Shapes(size=20, transform=T.Compose([T.ToTensor(), T.Normalize([0.5], [0.0])]))
    with pytest.raises(ValueError, match="std evaluated to zero"):
        next(iter(DataLoader(no_std, 4)))
    data = datasets.Shapes(size=20, transform=T.ToTensor())
    with pytest.raises(IndexError):
        next(iter(DataLoader(data, 2, sampler=[3, 20])))


def test_subclasses_and_subsets_get_their_own_samples(small_cifar):
    class Dark(datasets.CIFAR10):
        def __getitem__(self, index):
            x, t = super().__getitem__(index)
            return x * 0, t

    x, t = next(iter(DataLoader(Dark(small_cifar, transform=T.ToTensor()), 3)))
    assert x.sum().item() == 0

    class Pairs(datasets.CIFAR10):
        def __getitems__(self, indices):
            return [(i, -i) for i in indices]

    x, t = next(iter(DataLoader(Pairs(small_cifar, transform=T.ToTensor()), 3)))
    assert (x.tolist(), t.tolist()) == ([0, 1, 2], [0, -1, -2])
    data = datasets.CIFAR10(small_cifar, transform=T.ToTensor())
    x, t = next(iter(DataLoader(Subset(data, [9, 4]), 2)))
    np.testing.assert_array_equal(x[1].numpy(), data[4][0].numpy())
    assert t.tolist() == [data.targets[9], data.targets[4]]


# ---- MNIST ----------------------------------------------------------------------------------------------------------


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder, packed, n=7):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name, count in (("train", n), ("t10k", 3)):
        for kind, array in (
            ("images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), np.uint8)),
            ("labels-idx1-ubyte", rng.integers(0, 10, count).astype(np.uint8)),
        ):
            path = folder / f"{name}-{kind}{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))


@needs_torchvision
@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
@pytest.mark.parametrize("train", [True, False])
def test_mnist_is_torchvisions(tmp_path, unchecked, name, train):
    write_mnist(tmp_path / name / "raw", packed=False)
    write_mnist(tmp_path / "packed" / name / "raw", packed=True)
    theirs = getattr(torchvision.datasets, name)(str(tmp_path), train)
    for root in (tmp_path, tmp_path / "packed"):
        ours = getattr(datasets, name)(str(root), train, transform=T.ToTensor())
        np.testing.assert_array_equal(ours.data.numpy(), theirs.data.numpy())
        np.testing.assert_array_equal(ours.targets.numpy(), theirs.targets.numpy())
        assert ours.targets.dtype == cnn.int64
        assert (ours.classes, ours.class_to_idx) == (theirs.classes, theirs.class_to_idx)
        x, t = ours[1]
        assert x.shape == (1, 28, 28)
        np.testing.assert_array_equal(x.numpy() * 255, np.asarray(theirs[1][0])[None])
        assert t == theirs[1][1]
        ours.transform = T.Compose([T.RandomCrop(28, padding=2), T.ToTensor(), T.Normalize((0.1307,), (0.3081,))])
        cnn.manual_seed(5)
        x, t = ours.__getbatch__([2, 0, -1])
        cnn.manual_seed(5)
        y, u = default_collate([ours[i] for i in (2, 0, -1)])
        np.testing.assert_array_equal(x.numpy(), y.numpy())
        np.testing.assert_array_equal(t.numpy(), u.numpy())
        assert t.dtype == u.dtype
    assert repr(getattr(datasets, name)(str(tmp_path), train)) == repr(theirs)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an IDX file"),
        (b"hello world, this is no data", "not an IDX file"),
        (struct.pack(">HBB3I", 0, 8, 3, 2, 28, 28) + bytes(100), "expected 1,568 bytes for the shape .* got 100"),
        (struct.pack(">HBB3I", 0, 8, 3, 1, 28, 28) + bytes(1000), "got 785 or more"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31), "claims to hold"),
        (struct.pack(">HBB3I", 0, 13, 3, 1, 28, 28), "unsigned bytes"),
        (idx(np.zeros((9, 28, 28), np.uint8)), "9 images, but 7 labels"),
    ],
)
def test_damaged_mnist(tmp_path, content, words):
    write_mnist(tmp_path / "MNIST" / "raw", packed=False)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DatasetError, match=words):
        datasets.MNIST(str(tmp_path))


def test_mnist_packed_badly_or_missing(tmp_path):
    with pytest.raises(RuntimeError, match="Dataset not found.*You can use download=True"):
        datasets.MNIST(str(tmp_path))
    write_mnist(tmp_path / "MNIST" / "raw", packed=True)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DatasetError, match="cannot be read"):
        datasets.MNIST(str(tmp_path))


def test_mnist_is_downloaded(tmp_path, monkeypatch):
    from faulty_server import FaultySite

    write_mnist(tmp_path / "served", packed=True)
    paths = sorted((tmp_path / "served").iterdir())
    sites = {path.name: FaultySite(path.read_bytes()) for path in paths}
    md5 = {name: hashlib.md5(site.content).hexdigest() for name, site in sites.items()}
    names = [name for name, _ in datasets.MNIST.resources]

    class Local(datasets.MNIST):
        resources = tuple((name, md5[name]) for name in names)
        mirrors = ("",)

    from cnn.vision.datasets import mnist

    plain = mnist.RemoteFile
    monkeypatch.setattr(
        mnist, "RemoteFile", lambda name, urls, *rest, **more: plain(name, (sites[name].url("/"),), *rest, **more)
    )
    assert len(Local(str(tmp_path), train=True, download=True)) == 7
    assert len(Local(str(tmp_path), train=False, download=True)) == 3
    assert sorted(os.listdir(tmp_path / "Local" / "raw")) == sorted(names)
    for site in sites.values():
        site.close()


# ---- folders and fake data ------------------------------------------------------------------------------------------


@needs_torchvision
def test_image_folder_is_torchvisions(tmp_path):
    rng = np.random.default_rng(1)
    for name in ("dog/a.png", "dog/deep/b.PNG", "cat/z.jpg", "cat/a.bmp", "cat/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            path.write_text("no image")
        else:
            Image.fromarray(rng.integers(0, 256, (9, 8, 3), np.uint8)).save(path)
    ours, theirs = datasets.ImageFolder(str(tmp_path)), torchvision.datasets.ImageFolder(str(tmp_path))
    assert repr(ours) == repr(theirs)
    assert ours.samples == theirs.samples == ours.imgs
    assert (ours.classes, ours.class_to_idx, ours.targets) == (theirs.classes, theirs.class_to_idx, theirs.targets)
    for i in range(len(ours)):
        np.testing.assert_array_equal(np.asarray(ours[i][0]), np.asarray(theirs[i][0]))
    (tmp_path / "empty").mkdir()
    for options in ({}, {"allow_empty": True}):
        outcomes = []
        for lib in (datasets, torchvision.datasets):
            try:
                outcomes.append(lib.ImageFolder(str(tmp_path), **options).samples)
            except FileNotFoundError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder"):
        datasets.ImageFolder(str(tmp_path / "empty"))
    chosen = datasets.DatasetFolder(
        str(tmp_path), open, is_valid_file=lambda path: path.endswith("txt"), allow_empty=True
    )
    assert [os.path.basename(path) for path, _ in chosen.samples] == ["notes.txt"]


@needs_torchvision
def test_fake_data_is_torchvisions():
    ours = datasets.FakeData(20, (3, 16, 12), 7, random_offset=3)
    theirs = torchvision.datasets.FakeData(20, (3, 16, 12), 7, random_offset=3)
    before = cnn.get_rng_state().numpy().copy()
    for i in (0, 5, 19):
        a, b = np.asarray(ours[i][0]), np.asarray(theirs[i][0])
        # torch's float32 normal values differ in the last bit, which may fall on the next byte.
        assert (a != b).mean() < 0.01
        assert ours[i][1] == theirs[i][1]
    np.testing.assert_array_equal(cnn.get_rng_state().numpy(), before)
    with pytest.raises(IndexError, match="FakeData index out of range"):
        ours[20]
    assert len(ours) == 20


# ---- Shapes ---------------------------------------------------------------------------------------------------------


def test_shapes_are_the_same_every_time():
    data = datasets.Shapes(size=1500)
    assert data.data.shape == (1500, 32, 32, 3)
    assert data.data.dtype == np.uint8
    again = datasets.Shapes(size=1500)
    np.testing.assert_array_equal(data.data, again.data)
    assert data.targets == again.targets
    assert np.bincount(data.targets).tolist() == [150] * 10
    assert data.classes[data.targets[0]] in (
        "disc",
        "ring",
        "square",
        "frame",
        "triangle",
        "cross",
        "star",
        "bar",
        "crescent",
        "pair",
    )
    for other in (datasets.Shapes(size=1500, train=False), datasets.Shapes(size=1500, seed=1)):
        assert (other.data != data.data).mean() > 0.9
    assert repr(data) == "Dataset Shapes\n    Number of datapoints: 1500\n    Split: Train"


def test_shapes_work_as_cifar10_does():
    data = datasets.Shapes(train=False, size=40, transform=T.Compose([T.RandomHorizontalFlip(), T.ToTensor()]))
    x, t = next(iter(DataLoader(data, 40)))
    assert x.shape == (40, 3, 32, 32)
    assert t.tolist() == data.targets
    assert datasets.Shapes(size=3)[1][0].size == (32, 32)


def test_shapes_are_made_in_seconds():
    start = time.process_time()
    shapes.draw(1000, 0)
    assert time.process_time() - start < 2


def test_figures_differ_under_every_rotation():
    """No figure is a turned copy of another: the least distance of their outlines over all angles."""
    v, u = np.mgrid[-1:1:41j, -1:1:41j]

    def turned(figure, angle):
        c, s = np.cos(angle), np.sin(angle)
        return figure(u * c + v * s, v * c - u * s)

    pictures = [figure(u, v) for figure in shapes.FIGURES]
    assert all(0.08 < picture.mean() < 0.7 for picture in pictures)
    for i, picture in enumerate(pictures):
        for figure in shapes.FIGURES[:i]:
            assert min((turned(figure, angle) != picture).mean() for angle in np.linspace(0, 2 * np.pi, 60)) > 0.04


# ---- grids ----------------------------------------------------------------------------------------------------------

GRIDS = {
    "plain": {},
    "rows": {"nrow": 3, "padding": 5, "pad_value": 0.5},
    "normalize": {"normalize": True},
    "each": {"normalize": True, "scale_each": True, "nrow": 4},
    "range": {"normalize": True, "value_range": (-0.5, 0.7)},
}


@needs_torchvision
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("shape", [(7, 3, 6, 5), (2, 1, 4, 4), (1, 3, 4, 5), (3, 6, 5), (1, 4, 5), (6, 5)])
def test_make_grid(name, shape):
    import torch

    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ours = utils.make_grid(cnn.from_numpy(x), **GRIDS[name]).numpy()
    theirs = torchvision.utils.make_grid(torch.from_numpy(x), **GRIDS[name]).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
    assert ours.dtype == theirs.dtype


@needs_torchvision
def test_grids_of_lists_and_files(tmp_path):
    import torch

    x = np.random.default_rng(0).random((5, 3, 8, 8)).astype(np.float32)
    ours = utils.make_grid([cnn.from_numpy(image) for image in x], nrow=2)
    np.testing.assert_array_equal(ours.numpy(), torchvision.utils.make_grid(torch.from_numpy(x), nrow=2).numpy())
    utils.save_image(cnn.from_numpy(x), tmp_path / "ours.png", nrow=2)
    torchvision.utils.save_image(torch.from_numpy(x), tmp_path / "theirs.png", nrow=2)
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "ours.png")), np.asarray(Image.open(tmp_path / "theirs.png"))
    )
    with pytest.raises(TypeError, match="tensor or list of tensors expected, got <class 'int'>"):
        utils.make_grid(3)
    with pytest.raises(TypeError, match="got a list containing <class 'int'>"):
        utils.make_grid([3])
