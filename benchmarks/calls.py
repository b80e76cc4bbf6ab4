"""Small calls, written once for both libraries: what is measured is the way to the arithmetic, not the arithmetic."""


def calls(T):
    """{name: a function without arguments}, made of torch or of cnn."""
    nn, F = T.nn, T.nn.functional
    ten, learned, row = T.randn(10), T.randn(10, requires_grad=True), T.randn(1, 10)
    number = T.tensor(1.0)
    linear, conv, relu = nn.Linear(10, 10), nn.Conv2d(3, 6, 3), nn.ReLU()
    image, scores, label = T.randn(1, 3, 8, 8), T.randn(1, 10, requires_grad=True), T.tensor([3])
    parameters = [nn.Parameter(T.randn(10)) for _ in range(10)]
    gradients = [T.randn(10) for _ in parameters]
    optimizers = {"SGD": T.optim.SGD(parameters, lr=1e-3, momentum=0.9), "Adam": T.optim.Adam(parameters)}

    class Same(nn.Module):
        def forward(self, x):
            return x

    same = Same()

    def no_grad(f):
        def call():
            with T.no_grad():
                f()

        return call

    def forward_and_backward(module, x):
        def call():
            module.zero_grad()
            module(x).sum().backward()

        return call

    def loss():
        scores.grad = None
        F.cross_entropy(scores, label).backward()

    def step(optimizer):
        def call():
            optimizer.zero_grad()
            for p, g in zip(parameters, gradients, strict=True):
                p.grad = g
            optimizer.step()

        return call

    return {
        "tensor of two numbers": lambda: T.tensor([1.0, 2.0]),
        "zeros, 10 elements": lambda: T.zeros(10),
        "item": number.item,
        "add, 10 elements": lambda: ten + ten,
        "add, recorded": lambda: learned + ten,
        "relu, 10 elements": lambda: F.relu(ten),
        "relu, recorded": lambda: relu(learned),
        "Module that does nothing": lambda: same(ten),
        "linear 10->10, no_grad": no_grad(lambda: linear(row)),
        "linear 10->10, forward and backward": forward_and_backward(linear, row),
        "conv 3->6, 3x3, one 8x8 image, no_grad": no_grad(lambda: conv(image)),
        "conv 3->6, forward and backward": forward_and_backward(conv, image),
        "cross_entropy, forward and backward": loss,
        "SGD, 10 small parameters": step(optimizers["SGD"]),
        "Adam, 10 small parameters": step(optimizers["Adam"]),
    }
