"""One side of a comparison, in a process of its own: builds what it is told, then answers commands on stdin.

    python benchmarks/worker.py '{"library": "cnn", "mode": "train", "net": "reference", "batch": 128, "threads": 2}'

Commands, one a line: `run SECONDS` answers with the milliseconds of each step made in that time, `stats` with peak
memory and page faults a step since the last `stats`. Answers are JSON, one a line. compare.py drives it.

Modes: `train` and `infer` run a network of nets.py; `load` makes batches of images, `epoch` trains a network on them;
`layer` one pass of one layer; `call` a small call, many times; `peak` multiply-adds in registers.
Libraries: `cnn`, `torch`, and for inference `onnxruntime`, where they are installed.
"""

import itertools
import json
import resource
import statistics
import sys
import time
import warnings

import numpy as np
from calls import calls
from nets import NETS, optimizer_of


def make_step(job):
    """A function without arguments that does one step of the job."""
    if job["library"] == "onnxruntime":
        return onnxruntime_step(job)
    if job["library"] == "torch":
        import torch as T
    else:
        import cnn as T

    T.set_num_threads(job["threads"])
    T.manual_seed(0)
    if "algorithm" in job:
        T.backends.conv.algorithm = job["algorithm"]
    return STEPS[job["mode"]](T, job)


def images(T, job, channels=3, size=32):
    random = np.random.default_rng(0)
    x = T.from_numpy(random.standard_normal((job["batch"], channels, size, size)).astype(np.float32))
    return x.contiguous(memory_format=T.channels_last) if job.get("layout") == "channels_last" else x


def network(T, job):
    net = NETS[job["net"]](T.nn)
    if job.get("layout") == "channels_last":
        net = net.to(memory_format=T.channels_last)
    return T.compile(net) if job.get("compile") else net


def train_step(T, job):
    """One step on the same batch again and again."""
    x, t = images(T, job), T.from_numpy(np.random.default_rng(1).integers(0, 10, job["batch"]))
    return training(T, job, lambda: (x, t))


def training(T, job, batch):
    net = network(T, job)
    optimizer = optimizer_of(job["net"], net, T.optim)
    loss_of = T.nn.CrossEntropyLoss()

    def step():
        x, t = batch()
        optimizer.zero_grad()
        with T.autocast("cpu", dtype=T.bfloat16, enabled=bool(job.get("bf16"))):
            loss = loss_of(net(x), t)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def load_step(T, job):
    """A batch of a DataLoader, which begins anew after each epoch."""
    loader = make_loader(T, job)
    batches = (batch for _ in itertools.count() for batch in loader)
    return lambda: next(batches)


def epoch_step(T, job):
    """A training step on the next batch of a DataLoader; step.waits has the part of its time until the batch came."""
    load, waits = load_step(T, job), []

    def batch():
        start = time.perf_counter()
        x, t = load()
        waits.append((time.perf_counter() - start) * 1e3)
        return (x.contiguous(memory_format=T.channels_last) if job.get("layout") == "channels_last" else x), t

    step = training(T, job, batch)
    step.waits = waits
    return step


def make_loader(T, job):
    """Random images in CIFAR-10's class. job["data"]: "augmented", "images", or "tensors" (float images in memory)."""
    random, n = np.random.default_rng(0), 100 * job["batch"]
    pixels, labels = random.integers(0, 256, (n, 3, 32, 32), np.uint8), random.integers(0, 10, n)
    if job["data"] == "tensors":
        floats = np.asarray(pixels, np.float32) / 255
        dataset = T.utils.data.TensorDataset(T.from_numpy(floats), T.from_numpy(labels))
    else:
        vision = torchvision() if T.__name__ == "torch" else T.vision
        t = vision.transforms
        steps = [t.ToTensor(), t.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))]
        if job["data"] == "augmented":
            steps = [t.RandomCrop(32, padding=4), t.RandomHorizontalFlip(), *steps]

        class Noise(vision.datasets.CIFAR10):
            def __init__(self, transform):
                self.transform, self.target_transform = transform, None
                self.data, self.targets = pixels.transpose(0, 2, 3, 1), labels.tolist()

        dataset = Noise(t.Compose(steps))
    return T.utils.data.DataLoader(dataset, job["batch"], shuffle=True, num_workers=job["workers"])


def torchvision():
    """torchvision, also where its operators lack: a build that does not belong to this torch loads without them."""
    try:
        import torchvision
    except RuntimeError:
        import torch

        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

        torchvision.library = library  # as long as torchvision lives
    return torchvision


def infer_step(T, job):
    net, x = network(T, job).eval(), images(T, job)

    def step():
        with T.no_grad(), T.autocast("cpu", dtype=T.bfloat16, enabled=bool(job.get("bf16"))):
            return net(x)

    return step


def onnxruntime_step(job):
    """torch exports the network, onnxruntime runs it."""
    import io

    import onnxruntime
    import torch

    torch.manual_seed(0)
    net, x = NETS[job["net"]](torch.nn).eval(), images(torch, job)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is a newer exporter, which needs one more package
        torch.onnx.export(net, (x,), file, input_names=["x"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {"x": x.numpy()}
    return lambda: session.run(None, feed)


def layer_step(T, job):
    """One layer, forward or backward: {"layer": "Conv2d", "arguments": [...], "options": {...}, "pass": "forward"}."""
    layer = getattr(T.nn, job["layer"])(*job["arguments"], **job.get("options", {}))
    if job["layer"] == "Linear":
        x = T.from_numpy(np.random.default_rng(0).standard_normal((job["batch"], job["channels"])).astype(np.float32))
    else:
        x = images(T, job, job["channels"], job["size"])
    if T.__name__ == "cnn" and job["channels"] >= 16 and job["layer"] != "Linear":
        # between layers of many channels an activation lies channels-last; here there is no layer before
        x = T.from_numpy(np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2))
    if job.get("layout") == "channels_last":
        layer = layer.to(memory_format=T.channels_last)
    if job["pass"] == "forward":

        def forward():
            with T.no_grad():
                layer(x)

        return forward
    x.requires_grad_(job["pass"] != "backward_weight" and job.get("needs_dx", True))
    if job["pass"] == "backward_input":
        layer.requires_grad_(False)
    y = layer(x)
    dy = y.detach().clone()

    def backward():
        x.grad = None
        layer.zero_grad()
        y.backward(dy, retain_graph=True)

    return backward


def call_step(T, job):
    """job["times"] calls of one of calls.py."""
    call, times = calls(T)[job["call"]], job["times"]

    def step():
        for _ in range(times):
            call()

    return step


def peak_step(T, job):
    return lambda: T._cnn.fma_peak(200_000)


STEPS = {
    "train": train_step,
    "infer": infer_step,
    "load": load_step,
    "epoch": epoch_step,
    "layer": layer_step,
    "call": call_step,
    "peak": peak_step,
}


def main():
    job = json.loads(sys.argv[1])
    step = make_step(job)
    for _ in range(job.get("warm_up", 3)):
        step()
    faults, steps = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, 0
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        if command == "run":
            end = time.perf_counter() + float(arguments[0])
            times = []
            while not times or time.perf_counter() < end:
                start = time.perf_counter()
                step()
                times.append((time.perf_counter() - start) * 1e3)
            steps += len(times)
            print(json.dumps(times), flush=True)
        elif command == "stats":
            answer = {"peak_mb": usage.ru_maxrss * 1024 / 1e6, "faults": (usage.ru_minflt - faults) / max(steps, 1)}
            if job["mode"] == "peak":
                answer["operations"] = step()
            if job["mode"] == "epoch":
                answer["waiting"] = statistics.fmean(step.waits[-steps:])
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
