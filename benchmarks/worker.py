"""One side of a comparison, in a process of its own: builds what it is told, then answers commands on stdin.

    python benchmarks/worker.py '{"library": "cnn", "net": "reference", "batch": 128, "mode": "train", "threads": 2}'

Commands, one a line: `run SECONDS` answers with the milliseconds of each step made in that time, `stats` with peak
memory and page faults a step since the last `stats`. Answers are JSON, one a line. compare.py drives it.
"""

import json
import resource
import sys
import time

import numpy as np


def make_step(job):
    """A function without arguments that does one step of the job."""
    if job["library"] == "torch":
        import torch as T
    else:
        import cnn as T
    import nets

    T.set_num_threads(job["threads"])
    T.manual_seed(0)
    nn, mode = T.nn, job["mode"]
    net = nets.NETS[job["net"]](nn)
    layout = job.get("layout", "default")
    random = np.random.default_rng(0)
    x = T.from_numpy(random.standard_normal((job["batch"], 3, 32, 32)).astype(np.float32))
    t = T.from_numpy(random.integers(0, 10, job["batch"]))
    if layout == "channels_last":
        net, x = net.to(memory_format=T.channels_last), x.contiguous(memory_format=T.channels_last)
    run = net
    if job.get("compile"):
        run = T.compile(net)
    autocast = T.autocast("cpu", dtype=T.bfloat16, enabled=bool(job.get("bf16")))
    if mode == "infer":
        net.eval()

        def step():
            with T.no_grad(), autocast:
                return run(x)

        return step
    optimizer = nets.optimizer(job["net"], net, T.optim)
    loss_of = nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        with autocast:
            loss = loss_of(run(x), t)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    job = json.loads(sys.argv[1])
    step = make_step(job)
    for _ in range(job.get("warm_up", 3)):
        step()
    base = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    steps = 0
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
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
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            print(json.dumps({"peak": peak_bytes(), "faults": (faults - base) / max(steps, 1)}), flush=True)
            base, steps = faults, 0
        else:
            break


if __name__ == "__main__":
    main()
