"""Common mistakes with tensors, layers, optimisers and data, a row each: the error names the layer, what was expected,
and what came.

Each row is checked twice: in this process, which has to survive it, and together with those of test_mistakes_files.py
and test_mistakes_learning.py in one fresh process that computes something right afterwards.
"""

import numpy as np
import pytest
from mistakes import ROOT, Net, Rows, check_message, start

import cnn
import cnn.nn as nn
import cnn.nn.functional as F
import cnn.optim as optim
from cnn.utils.data import DataLoader, TensorDataset, random_split

HUGE = 2**63 - 1
ROWS = Rows()
mistake = ROWS.mistake
T = cnn.vision.transforms


def images(*shape):
    return cnn.zeros(*(shape or (2, 3, 8, 8)))


def weight(*shape):
    return cnn.zeros(*(shape or (8, 3, 3, 3)))


# ---------------------------------------------------------------------------------------------------- shapes and layers


@mistake(["conv2d", "4 channels", "got 3 channels"])
def conv_of_the_wrong_channels(folder):
    nn.Conv2d(4, 8, 3)(images())


@mistake(["conv2d", "4 dimensions", "(3, 8)"])
def conv_of_a_matrix(folder):
    nn.Conv2d(3, 8, 3)(images(3, 8))


@mistake(["conv2d", "kernel height 9", "input height 8"])
def conv_kernel_larger_than_the_image(folder):
    nn.Conv2d(3, 8, 9)(images())


@mistake(["conv2d", "bias", "8 elements", "(7,)"])
def conv_bias_of_another_length(folder):
    F.conv2d(images(), weight(), cnn.zeros(7))


@mistake(["Conv2d", "divisible by groups", "3 and 2"])
def conv_groups_that_do_not_divide(folder):
    nn.Conv2d(3, 8, 3, groups=2)


@mistake(["conv2d", "6 channels", "3 channels"])
def conv_groups_and_weight_disagree(folder):
    F.conv2d(images(), weight(), groups=2)


@mistake(["conv2d", "'same'", "strided"])
def conv_same_with_a_stride(folder):
    nn.Conv2d(3, 8, 3, stride=2, padding="same")


@mistake(["conv2d", "'same', 'valid' or integers", "'sam'"])
def conv_padding_misspelt(folder):
    nn.Conv2d(3, 8, 3, padding="sam")


@mistake(["max_pool2d", "kernel_size 9", "height 8"])
def pool_larger_than_the_image(folder):
    nn.MaxPool2d(9)(images())


@mistake(["max_pool2d", "half of kernel size", "pad=2", "kernel_size=2"])
def max_pool_padding_too_large(folder):
    nn.MaxPool2d(2, padding=2)(images())


@mistake(["avg_pool2d", "half of kernel size", "pad=2", "kernel_size=2"])
def avg_pool_padding_too_large(folder):
    F.avg_pool2d(images(), 2, padding=2)


@mistake(["max_pool2d", "3D or 4D", "(5,)"])
def pool_of_a_vector(folder):
    F.max_pool2d(images(5), 2)


@mistake(["linear", "99 features", "expects 100"])
def linear_of_the_wrong_size(folder):
    nn.Linear(100, 10)(images(2, 99))


@mistake(["3 (Linear)", "144 features", "expects 100"])
def linear_behind_convolutions_of_the_wrong_size(folder):
    nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(100, 10))(images())


@mistake(["(2x3 and 4x5)", "3", "4"])
def matrices_that_do_not_fit(folder):
    cnn.zeros(2, 3) @ cnn.zeros(4, 5)


@mistake(["batch_norm", "3 elements not 4"])
def batch_norm_of_the_wrong_channels(folder):
    nn.BatchNorm2d(4)(images())


@mistake(["BatchNorm2d", "4D", "2D", "[2, 3]"])
def batch_norm_of_a_matrix(folder):
    nn.BatchNorm2d(3)(images(2, 3))


@mistake(["more than 1 value per channel", "[1, 3, 1, 1]"])
def batch_norm_training_on_one_value(folder):
    nn.BatchNorm2d(3)(images(1, 3, 1, 1))


@mistake(["shape '[4, 2]'", "[2, 3]"])
def view_of_another_size(folder):
    images(2, 3).view(4, 2)


@mistake(["dimension 0", "size 3", "size 4", "number 1"], RuntimeError)
def cat_of_different_widths(folder):
    cnn.cat([cnn.zeros(2, 3), cnn.zeros(3, 4)])


@mistake(["add", "(3)", "(4)", "dimension 1", "[2, 3] and [4]"], RuntimeError)
def adding_shapes_that_do_not_broadcast(folder):
    cnn.zeros(2, 3) + cnn.zeros(4)


@mistake(["[-2, 1]", "2"], IndexError)
def softmax_over_a_dimension_that_is_not_there(folder):
    F.softmax(cnn.zeros(2, 3), dim=2)


@mistake(["index 5", "dimension 0", "size 2"], IndexError)
def index_outside(folder):
    cnn.zeros(2, 3)[5]


# --------------------------------------------------------------------------------------------------------------- dtypes


@mistake(["conv2d", "same dtype", "float64", "float32", ".float()"], TypeError)
def float64_image_into_a_float32_layer(folder):
    nn.Conv2d(3, 8, 3)(cnn.from_numpy(np.zeros((2, 3, 8, 8))))


@mistake(["conv2d", "float32 or float64", "uint8"], TypeError)
def bytes_into_a_convolution(folder):
    nn.Conv2d(3, 8, 3)(images().to(cnn.uint8))


@mistake(["max_pool2d", "float32 or float64", "int64"], TypeError)
def integers_into_a_pool(folder):
    F.max_pool2d(images().long(), 2)


@mistake(["linear", "float64", "float32", ".float()"], TypeError)
def float64_into_linear(folder):
    nn.Linear(10, 10)(cnn.zeros(2, 10, dtype=cnn.float64))


@mistake(["Conv2d", "Tensor", "list"], TypeError)
def list_into_a_layer(folder):
    nn.Conv2d(3, 8, 3)([[1.0, 2.0]])


@mistake(["1 (Linear)", "Tensor", "NoneType"], TypeError)
def forward_that_forgot_to_return(folder):
    class Forgetful(nn.Module):
        def forward(self, x):
            x + 1

    nn.Sequential(Forgetful(), nn.Linear(2, 2))(cnn.zeros(1, 2))


@mistake(["np.ndarray", "list"], TypeError)
def from_numpy_of_a_list(folder):
    cnn.from_numpy([1, 2])


@mistake(["<U1", "supported types"], TypeError)
def from_numpy_of_texts(folder):
    cnn.from_numpy(np.array(["a"]))


# ---------------------------------------------------------------------------------------------------- labels and losses


@mistake(["Target 10", "cross_entropy", "10 classes", "0..9"], IndexError)
def label_too_large(folder):
    F.cross_entropy(cnn.zeros(2, 10), cnn.tensor([3, 10]))


@mistake(["Target -1", "cross_entropy", "10 classes", "0..9"], IndexError)
def label_negative(folder):
    F.cross_entropy(cnn.zeros(2, 10), cnn.tensor([3, -1]))


@mistake([f"Target {HUGE}", "cross_entropy", "0..9"], IndexError)
def label_near_two_to_the_63(folder):
    F.cross_entropy(cnn.zeros(2, 10), cnn.tensor([3, HUGE]))


@mistake(["Target 11", "nll_loss", "0..9"], IndexError)
def label_too_large_for_nll_loss(folder):
    F.nll_loss(cnn.zeros(2, 10), cnn.tensor([3, 11]))


@mistake(["cross_entropy", "Long", "Float", ".long()"], TypeError)
def labels_that_are_floats(folder):
    F.cross_entropy(cnn.zeros(2, 10), cnn.tensor([3.0, 1.0]))


@mistake(["cross_entropy", "Long", "Int", ".long()"], TypeError)
def labels_that_are_int32(folder):
    F.cross_entropy(cnn.zeros(2, 10), cnn.tensor([3, 1], dtype=cnn.int32))


@mistake(["cross_entropy", "batch_size (2)", "batch_size (3)"])
def more_labels_than_images(folder):
    F.cross_entropy(cnn.zeros(2, 10), cnn.tensor([3, 1, 2]))


@mistake(["cross_entropy", "1D target", "[2, 1]", "squeeze(1)"])
def labels_as_a_column(folder):
    F.cross_entropy(cnn.zeros(2, 10), cnn.tensor([[3], [1]]))


@mistake(["cross_entropy", "10 classes", "(9,)"])
def class_weights_of_another_length(folder):
    F.cross_entropy(cnn.zeros(2, 10), cnn.tensor([3, 1]), weight=cnn.ones(9))


@mistake(["avg", "'none', 'mean' or 'sum'"])
def reduction_misspelt(folder):
    F.cross_entropy(cnn.zeros(2, 10), cnn.tensor([3, 1]), reduction="avg")


@mistake(["label_smoothing", "between 0.0 and 1.0", "2.0"])
def label_smoothing_too_large(folder):
    F.cross_entropy(cnn.zeros(2, 10), cnn.tensor([3, 1]), label_smoothing=2.0)


@pytest.mark.filterwarnings("ignore:Using a target size")
@mistake(["mse_loss", "same shape", "[2, 10]", "[3, 7]"])
def mse_of_different_shapes(folder):
    F.mse_loss(cnn.zeros(2, 10), cnn.zeros(3, 7))


@mistake(["between 0 and 1", "sigmoid"], RuntimeError)
def binary_cross_entropy_of_scores(folder):
    F.binary_cross_entropy(cnn.tensor([1.5]), cnn.tensor([1.0]))


# ----------------------------------------------------------------------------------------- numbers out of range or huge


@mistake(["conv2d", "stride", "got 0"])
def conv_stride_zero(folder):
    nn.Conv2d(3, 8, 3, stride=0)(images())


@mistake(["conv2d", "stride", "got -1"])
def conv_stride_negative(folder):
    F.conv2d(images(), weight(), stride=-1)


@mistake(["conv2d", "padding", "got -1"])
def conv_padding_negative(folder):
    F.conv2d(images(), weight(), padding=-1)


@mistake(["conv2d", "padding", "int", "1.5"], TypeError)
def conv_padding_fractional(folder):
    F.conv2d(images(), weight(), padding=1.5)


@mistake(["conv2d", "too large", "padding 9223372036854775803"])
def conv_padding_near_two_to_the_63(folder):
    F.conv2d(images(), weight(), padding=HUGE - 4)


@mistake(["conv2d", "too large", "dilation 4611686018427387904"])
def conv_dilation_near_two_to_the_63(folder):
    F.conv2d(images(), weight(), dilation=2**62)


@mistake(["conv2d", "stride", "got a number of more than 64 bits"])
def conv_stride_over_64_bits(folder):
    F.conv2d(images(), weight(), stride=2**64)


@mistake(["max_pool2d", "kernel_size", str(HUGE)])
def pool_kernel_near_two_to_the_63(folder):
    F.max_pool2d(images(), HUGE)


@mistake(["max_pool2d", "kernel_size", "got 0"])
def pool_kernel_zero(folder):
    F.max_pool2d(images(), 0)


@mistake(["adaptive_avg_pool2d", "output_size", "-1"])
def adaptive_pool_of_negative_size(folder):
    F.adaptive_avg_pool2d(images(), -1)


@mistake([f"[{HUGE}, 2]", "[2, 3]"])
def reshape_near_two_to_the_63(folder):
    images(2, 3).reshape(HUGE, 2)


@mistake(["zeros", "[1099511627776, 1099511627776]", "too many"], MemoryError)
def tensor_of_more_elements_than_64_bits_count(folder):
    cnn.zeros(2**40, 2**40)


@mistake(["negative", "-1"], RuntimeError)
def tensor_of_negative_size(folder):
    cnn.zeros(-1)


@mistake(["dropout", "between 0 and 1", "1.5"])
def dropout_probability_over_one(folder):
    nn.Dropout(1.5)


@mistake(["'from'", "'to'", "5"], RuntimeError)
def randint_of_an_empty_range(folder):
    cnn.randint(5, 5, (2,))


# ---------------------------------------------------------------------------------------- autograd, modules, optimisers


@mistake(["scalar", "[2, 3]", "loss.mean()"], RuntimeError)
def backward_of_a_matrix(folder):
    (cnn.zeros(2, 3, requires_grad=True) * 2).backward()


@mistake(["does not require grad"], RuntimeError)
def backward_without_any_gradient(folder):
    cnn.zeros(2, 3).sum().backward()


@mistake(["second time", "retain_graph=True"], RuntimeError)
def backward_twice(folder):
    loss = cnn.zeros(2, requires_grad=True).pow(2).sum()
    loss.backward()
    loss.backward()


@mistake(["numpy()", "requires grad", "detach()"], RuntimeError)
def numpy_of_a_tensor_with_gradient(folder):
    cnn.zeros(2, requires_grad=True).numpy()


@mistake(["6 elements", "Scalar"], RuntimeError)
def item_of_a_matrix(folder):
    cnn.zeros(2, 3).item()


@mistake(["create_graph=True", "not supported"], RuntimeError)
def double_backward(folder):
    x = cnn.zeros(2, requires_grad=True)
    cnn.autograd.grad(x.pow(2).sum(), [x], create_graph=True)


@mistake(["Module.__init__()"], AttributeError)
def module_without_super_init(folder):
    class Hasty(nn.Module):
        def __init__(self):
            self.conv = nn.Conv2d(3, 4, 3)

    Hasty()


@mistake(["Lazy", "forward"], NotImplementedError)
def module_without_forward(folder):
    class Lazy(nn.Module):
        pass

    Lazy()(1)


@mistake(["int", "Module"], TypeError)
def sequential_of_something_else(folder):
    nn.Sequential(nn.ReLU(), 3)


@mistake(["ReLU is not a Module", "make one, ReLU(...)"], TypeError)
def sequential_of_a_class(folder):
    nn.Sequential(nn.Linear(2, 2), nn.ReLU)


@mistake(["relu is not a Module"], TypeError)
def sequential_of_a_function(folder):
    nn.Sequential(nn.Linear(2, 2), F.relu)


@mistake(["mean()", "'input'", "must be Tensor", "list"], TypeError)
def mean_of_a_list_of_losses(folder):
    cnn.mean([0.5, 0.25])


@mistake(["view()", "expected integers", "(2.0, -1)"], TypeError)
def view_of_a_quotient(folder):
    cnn.zeros(4, 3).view(4 / 2, -1)


@mistake(["'Linear'", "'wieght'"], AttributeError)
def attribute_misspelt(folder):
    nn.Linear(2, 2).wieght  # noqa: B018


@mistake(["Linear", "Missing key", "bias"], RuntimeError)
def state_dict_without_a_key(folder):
    nn.Linear(2, 3).load_state_dict({"weight": cnn.zeros(3, 2)})


@mistake(["Linear", "size mismatch for weight", "[4, 2]", "[3, 2]"], RuntimeError)
def state_dict_of_another_shape(folder):
    nn.Linear(2, 3).load_state_dict({"weight": cnn.zeros(4, 2), "bias": cnn.zeros(3)})


@mistake(["learning rate", "-1"])
def negative_learning_rate(folder):
    optim.SGD(nn.Linear(1, 1).parameters(), lr=-1)


@mistake(["empty parameter list"])
def optimizer_without_parameters(folder):
    optim.Adam([], lr=0.1)


@mistake(["iterable of Tensors", "Tensor"], TypeError)
def optimizer_of_one_tensor(folder):
    optim.SGD(cnn.zeros(2, requires_grad=True), lr=0.1)


@mistake(["beta", "index 0", "1.0"])
def adam_beta_of_one(folder):
    optim.Adam(nn.Linear(1, 1).parameters(), betas=(1.0, 0.9))


@mistake(["float", "Optimizer"], TypeError)
def schedule_of_something_else(folder):
    optim.lr_scheduler.MultiStepLR(0.1, [1])


# ----------------------------------------------------------------------------------------------------- data and batches


@mistake(["batch_size", "positive", "0"])
def loader_with_batches_of_nothing(folder):
    DataLoader([1, 2], batch_size=0)


@mistake(["num_workers", "non-negative"])
def loader_with_minus_one_workers(folder):
    DataLoader([1, 2], num_workers=-1)


@mistake(["sampler", "shuffle"])
def loader_with_sampler_and_shuffle(folder):
    DataLoader([1, 2], shuffle=True, sampler=[0, 1])


@mistake(["equal size", "[2]", "entry 0", "[3]", "entry 1"], RuntimeError)
def batch_of_different_sizes(folder):
    list(DataLoader([cnn.zeros(2), cnn.zeros(3)], batch_size=2))


@mistake(["tensors, numpy arrays, numbers, dicts or lists", "object"], TypeError)
def batch_of_unknown_things(folder):
    list(DataLoader([object()]))


@mistake(["Size mismatch", "2, 3"], AssertionError)
def tensor_dataset_of_different_lengths(folder):
    TensorDataset(cnn.zeros(2), cnn.zeros(3))


@mistake(["Sum of input lengths", "2", "3"])
def split_that_does_not_add_up(folder):
    random_split([1, 2, 3], [1, 1])


# ------------------------------------------------------------------------------------------------ more, a line for each


def leaf():
    return cnn.ones(2, requires_grad=True)


def sgd(net, *more):
    return optim.SGD([*net.parameters(), *more], lr=0.1)


def changed_after_it_was_saved():
    y = leaf().exp()
    y += 1
    y.sum().backward()


ROWS.lines(
    # Layers and tensors
    ("dense layer", lambda _: Net(features=9)(images()), ValueError, "dense (Linear)", "64 features", "expects 9"),
    ("conv1d", lambda _: nn.Conv1d(4, 2, 3)(images(2, 3, 8)), ValueError, "conv1d", "4 channels", "got 3"),
    ("transposed", lambda _: nn.ConvTranspose2d(4, 2, 3)(images()), ValueError, "conv_transpose2d", "(4, 2, 3, 3)"),
    ("group norm", lambda _: nn.GroupNorm(2, 3), ValueError, "num_channels (3)", "num_groups (2)"),
    ("layer norm", lambda _: nn.LayerNorm(5)(images(2, 3)), ValueError, "[*, 5]", "[2, 3]"),
    ("prelu", lambda _: nn.PReLU(4)(images()), ValueError, "prelu", "3 (the channels of the input)", "got 4"),
    ("pad away", lambda _: F.pad(images(), (-9, 0)), ValueError, "pad: (-9, 0)", "dimension 3", "(2, 3, 8, 8)"),
    ("one_hot", lambda _: F.one_hot(cnn.tensor([5]), 3), RuntimeError, "num_classes", "got 5", "3 classes"),
    ("strided view", lambda _: images().transpose(1, 2).view(-1), RuntimeError, ".reshape("),
    ("permute", lambda _: images().permute(0, 2, 1), RuntimeError, "input.dim() = 4", "len(dims) = 3"),
    ("cat of nothing", lambda _: cnn.cat([]), ValueError, "cat()", "non-empty list"),
    ("stack", lambda _: cnn.stack([images(2), images(3)]), ValueError, "[2] at entry 0", "[3] at entry 1"),
    ("matmul types", lambda _: images(2, 3) @ images(3, 2).double(), TypeError, "matmul", "float32", "float64"),
    ("gather", lambda _: images(1, 3).gather(1, cnn.tensor([[7]])), RuntimeError, "index 7", "dimension 1", "size 3"),
    ("ragged lists", lambda _: cnn.tensor([[1, 2], [3]]), ValueError, "tensor()", "rectangle"),
    ("text", lambda _: cnn.tensor(["a"]), TypeError, "str"),
    ("if of many", lambda _: bool(images() == 0), RuntimeError, "more than one value is ambiguous"),
    ("device", lambda _: images().to("gpu"), RuntimeError, "cpu, cuda", "gpu"),
    ("threads", lambda _: cnn.set_num_threads(0), RuntimeError, "set_num_threads", "positive", "got 0"),
    # Types and sizes
    ("bytes", lambda _: Net()(images().byte()), TypeError, "conv (Conv2d)", "float32", "got uint8", ".float()"),
    ("double norm", lambda _: nn.BatchNorm2d(3)(images().double()), TypeError, "batch_norm", "float64", ".float()"),
    ("channels / 2", lambda _: nn.Conv2d(3, 6 / 2, 3), TypeError, "Conv2d: out_channels", "int", "got 3.0", "//"),
    ("features / 2", lambda _: nn.Linear(32 / 2, 3), TypeError, "Linear: in_features", "int", "got 16.0", "//"),
    ("groups 0", lambda _: nn.Conv2d(3, 6, 3, groups=0), ValueError, "Conv2d: groups", "positive", "got 0"),
    ("groups 2^62", lambda _: F.conv2d(images(), weight(), groups=2**62), ValueError, "conv2d", str(2**62)),
    ("kernel 2^62", lambda _: nn.Conv2d(3, 6, 2**62), MemoryError, str(2**62), "too many elements"),
    ("features 2^62", lambda _: nn.Linear(2**62, 2), MemoryError, str(2**62), "too many elements"),
    ("pool stride 0", lambda _: F.max_pool2d(images(), 2, 0), ValueError, "max_pool2d: stride", "got 0"),
    ("pool padding 2^63", lambda _: F.avg_pool2d(images(), 2, 2, 2**63), ValueError, "avg_pool2d: padding", "64 bits"),
    ("pool dilation", lambda _: F.max_pool2d(images(), 2, dilation=2**62), ValueError, "max_pool2d: dilation", "46116"),
    ("adaptive 2^62", lambda _: F.adaptive_avg_pool2d(images(), 2**62), ValueError, str(2**62), "too big"),
    ("pad 2^62", lambda _: F.pad(images(), (0, 2**62)), ValueError, "pad: ", str(2**62), "dimension 3", "too large"),
    # Autograd, modules, optimisers
    ("gradient's shape", lambda _: (leaf() * 2).backward(cnn.ones(3)), ValueError, "[3]", "[2]"),
    ("in place on a leaf", lambda _: leaf().add_(1), RuntimeError, "leaf", "in-place"),
    ("changed since", lambda _: changed_after_it_was_saved(), RuntimeError, "ExpBackward0", "x = x + 1"),
    ("integer gradient", lambda _: cnn.tensor([1], requires_grad=True), RuntimeError, "floating point"),
    ("list of layers", lambda _: nn.Sequential([nn.ReLU()]), TypeError, "list", "Module"),
    ("no parameter", lambda _: setattr(Net().conv, "weight", leaf()), TypeError, "'weight'", "torch.nn.Parameter"),
    ("unexpected key", lambda _: nn.ReLU().load_state_dict({"a": leaf()}), RuntimeError, "Unexpected key", '"a"'),
    ("path as state_dict", lambda _: Net().load_state_dict("a.pt"), TypeError, "state_dict", "dict-like", "str"),
    ("net to optimise", lambda _: optim.SGD(Net()), TypeError, "iterable of Tensors", "got Net", ".parameters()"),
    ("momentum", lambda _: optim.SGD([leaf()], momentum=-1), ValueError, "momentum", "-1"),
    ("result to optimise", lambda _: optim.SGD([leaf() * 2]), ValueError, "non-leaf"),
    ("another's state", lambda _: sgd(Net()).load_state_dict(sgd(Net(), leaf()).state_dict()), ValueError, "got 5"),
    ("step_size", lambda _: optim.lr_scheduler.StepLR(sgd(Net()), 0), ValueError, "StepLR: step_size", "got 0"),
    ("one milestone", lambda _: optim.lr_scheduler.MultiStepLR(sgd(Net()), 70), TypeError, "milestones", "got 70"),
    ("nothing to shuffle", lambda _: DataLoader([], shuffle=True), ValueError, "num_samples=0"),
    ("Normalize", lambda _: T.Normalize([1] * 2, [1] * 2)(images(3, 8, 8)), ValueError, "mean", "3 channels", "got 2"),
    ("no picture", lambda _: T.ToTensor()("a.png"), TypeError, "PIL Image or ndarray", "str"),
    ("pretrained", lambda _: cnn.vision.models.resnet18(weights="DEFAULT"), RuntimeError, "resnet18", "weights=None"),
)  # fmt: skip


@pytest.mark.parametrize(("make", "error", "says"), ROWS)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_mistake_is_said_clearly(make, error, says, tmp_path):
    check_message(make, error, says, tmp_path)


def test_one_process_survives_them_all(tmp_path):
    """Behind every mistake, a training step gives the bits that it gave before."""
    code = (
        "import sys, pathlib, warnings\n"
        "warnings.simplefilter('ignore')\n"
        f"sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
        "import test_mistakes, test_mistakes_files, test_mistakes_learning\n"
        "from mistakes import message_of, train_a_step\n"
        "ROWS = test_mistakes.ROWS + test_mistakes_files.ROWS + test_mistakes_learning.ROWS\n"
        "expected = train_a_step()\n"
        "for row in ROWS:\n"
        "    message_of(row.values[0], row.values[1], pathlib.Path('.').absolute())\n"
        "    assert train_a_step() == expected, row.id\n"
        "print(len(ROWS))\n"
    )
    process = start(["-c", code], tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert int(out) > len(ROWS) + 80
    assert not (tmp_path / "attacked").exists()
