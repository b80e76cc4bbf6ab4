"""Programs with Modules: forward functions of their own, in which layers wait and what waits is disturbed.

A forward function is drawn as it runs on PyTorch, line by line, with a layer for each call; then the class is one step
of the program. So the steps around it call it, train it, and look at what it returned.
"""

import program_steps
from program_steps import Steps, in_rows


class Networks(Steps):
    """Steps of which most are about Modules m1, m2, ... and optimisers o1, o2, ..."""

    def step(self):
        modules = [n for n, v in self.names.items() if n[0] == "m" and hasattr(v, "state_dict")]
        if not modules or self.chance(0.03):
            return self.network()
        if not self.images() or self.chance(0.06):
            return f"{self.new()} = {self.image()}"
        kind = self.random.random()
        if kind < 0.3:
            return self.call(self.pick(*modules))
        if kind < 0.6:
            return self.training(self.pick(*modules))
        return super().step()

    def images(self):
        return [n for n in self.tensors() if self.names[n].ndim == 4 and self.names[n].dtype == self.float32]

    @property
    def float32(self):
        return self.names["torch"].float32

    def image(self):
        channels, side = self.pick(1, 3, 3, 4, 8, 17), self.pick(1, 2, 3, 4, 5, 8, 8, 11, 16)
        n = self.pick(1, 2, 2, 3)
        made = self.pick(
            f"torch.randn({n}, {channels}, {side}, {side})",
            f"torch.randn({n}, {channels}, {side}, {side})",
            f"torch.randn({2 * n}, {channels}, {side}, {side})[::2]",
            f"torch.randn({n}, {channels}, {side}, {2 * side})[:, :, :, ::2]",
        )
        return made + self.pick("", "", ".detach().requires_grad_()", " * 1")

    # ---- A Module with a forward of its own ------------------------------------------------------------------

    def network(self):
        body = Body(self)
        lines, layers, results = body.draw()
        number = self.between(1, 3)
        set_up = "".join(f"        self.{name} = {made}\n" for name, made in layers.items())
        forward = "".join(f"        {line}\n" for line in lines)
        text = (
            f"class Net{number}(nn.Module):\n"
            f"    def __init__(self):\n        super().__init__()\n{set_up}{OFF_ZERO}"
            f"    def forward(self, x):\n{forward}        return {', '.join(results)}\n"
            f"m{number} = Net{number}()"
        )
        self.returns = getattr(self, "returns", {})
        self.returns[f"m{number}"] = body.channels, len(results)
        return text

    def call(self, module):
        channels, count = self.returns.get(module, (3, 1))
        fitting = [n for n in self.images() if self.names[n].shape[1] == channels and in_rows(self.names[n])]
        if not fitting or self.chance(0.02):
            if self.chance(0.9):
                return f"{self.new()} = torch.randn(2, {channels}, {self.pick(4, 7, 8)}, {self.pick(4, 7, 8)})"
            fitting = self.images()
        results = ", ".join(self.new() for _ in range(count))
        if self.chance(0.1):
            return f"with torch.no_grad(): {results} = {module}({self.pick(*fitting)})"
        return f"{results} = {module}({self.pick(*fitting)})"

    def training(self, m):
        torch = self.names["torch"]
        optimizers = [n for n, v in self.names.items() if n[0] == "o" and isinstance(v, torch.optim.Optimizer)]
        kind = self.random.random()
        if kind < 0.3:
            y = self.floating(lambda v: v.requires_grad)
            return y and f"{self.scalar(y, self.names[y])}.backward({self.pick('', '', 'retain_graph=True')})"
        if kind < 0.55 and optimizers:
            o = self.pick(*optimizers)
            return self.pick(
                f"{o}.step()", f"{o}.step()", f"{o}.step()", f"{o}.zero_grad()", f"{o}.zero_grad(set_to_none=False)",
                f"{o}.param_groups[0]['lr'] = 0.02", f"{o}.load_state_dict(copy.deepcopy({o}.state_dict()))",
                f"torch.nn.utils.clip_grad_norm_({m}.parameters(), 1.0)",
            )  # fmt: skip
        if kind < 0.65 or not optimizers:
            return f"o{self.between(1, 2)} = torch.optim.{self.pick(*OPTIMIZERS).format(f'{m}.parameters()')}"
        return self.pick(
            f"{m}.eval()", f"{m}.train()", f"{m}.zero_grad()", f"{m}.requires_grad_(False)", f"{m}.requires_grad_()",
            f"saved = {m}.state_dict()", f"saved = copy.deepcopy({m}.state_dict())",
            f"{m}.load_state_dict({m}.state_dict())", f"m4 = copy.deepcopy({m})",
            f"{self.new()} = next({m}.parameters())", f"{self.new()} = list({m}.parameters())[-1].detach()",
            f"{m}.load_state_dict(saved)" if "saved" in self.names else None,
            f"with torch.no_grad():\n    for p in {m}.parameters(): p.mul_(0.9)",
            f"for p in {m}.parameters(): p.grad = None",
            f"next({m}.children()).register_forward_hook(lambda module, x, y: log.append(y.detach().clone()))",
            f"next({m}.children()).register_forward_hook(lambda module, x, y: y * 2)",
            f"next({m}.children()).register_forward_pre_hook(lambda module, x: x[0] * 2)",
            f"next({m}.parameters()).register_hook(lambda g: g * 0.5)",
        )  # fmt: skip


# A bias of 0 behind a batch norm of equal values, or of one value, would leave a ReLU at its kink.
OFF_ZERO = "        for p in self.parameters(): p.ndim == 1 and p.data.uniform_(0.2, 1)\n"
OPTIMIZERS = [  # eps is large, so that rounding noise where a gradient should be 0 does not become a step
    "SGD({}, lr=0.05)", "SGD({}, lr=0.05, momentum=0.9, nesterov=True)", "SGD({}, lr=0.05, weight_decay=0.1)",
    "Adam({}, lr=0.01, eps=0.01)", "AdamW({}, lr=0.01, eps=0.01)", "Adagrad({}, lr=0.01, eps=0.01)",
    "RMSprop({}, lr=0.01, eps=0.01, momentum=0.5)", "Adamax({}, lr=0.01, eps=0.01)", "NAdam({}, lr=0.01, eps=0.01)",
    "Adadelta({}, lr=0.1, eps=0.01)",
]  # fmt: skip


class Body(Steps):
    """The lines of a forward function; `h1`, `h2`, ... are its tensors."""

    def __init__(self, outer):
        torch = outer.names["torch"]
        kept = {k: outer.names[k] for k in ("torch", "nn", "F", "np", "copy")}
        super().__init__(outer.random, {**kept, "log": [], "self": torch.nn.Module()}, "h")
        self.channels = self.pick(1, 3, 3, 4, 8)
        side = self.pick(4, 7, 8, 8)
        self.state = torch.get_rng_state()  # drawing a program draws nothing from it
        self.names["x"] = torch.randn(2, self.channels, side, side)
        self.layers = {}

    def draw(self):
        """(lines, {name: layer}, names to return)"""
        torch = self.names["torch"]
        lines, enabled = [], torch.is_grad_enabled()
        self.newest = "x"
        for _ in range(self.between(2, 9)):
            line = self.line()
            if line is None:
                continue
            try:
                exec(line, self.names)
            except Exception:
                if self.chance(0.97):
                    continue  # else it stays, and raises in both
            if line.startswith("h") and "=" in line:
                name = line.split()[0]
                if self.is_image(self.names.get(name)):
                    self.newest = name
            lines.append(line)
        torch.set_grad_enabled(enabled)
        torch.set_rng_state(self.state)
        tensors = [n for n in self.tensors() if n in self.names]
        results = list(
            dict.fromkeys([self.newest, *[self.pick(*tensors) for _ in range(self.between(0, 3)) if tensors]])
        )
        return lines, self.layers, results

    def is_image(self, value):
        torch = self.names["torch"]
        return isinstance(value, torch.Tensor) and value.ndim == 4 and value.dtype == torch.float32

    def line(self):
        kind = self.random.random()
        images = [n for n, v in self.names.items() if n != "x" and self.is_image(v)]
        x = self.newest if not images or self.chance(0.8) else self.pick(*images, "x")
        if kind < 0.55:
            return self.layer(x)
        if kind < 0.85:
            return self.disturb(x, self.pick(*images, "x"))
        if not self.tensors():
            return None
        table = self.pick(program_steps.VIEWS, program_steps.IN_PLACE, program_steps.POINTWISE)
        line = self.from_table(table)
        return line if table is program_steps.IN_PLACE else line and f"{self.new()} = {line}"

    def add(self, made):
        """The name of a layer, new or one that was called before."""
        name = f"l{len(self.layers)}"
        self.layers[name] = made
        exec(f"self.{name} = {made}", self.names)
        return name

    def layer(self, x):
        X = self.names[x]
        c, side = X.shape[1], min(X.shape[2:])
        if not c or not side:
            return None  # a layer of no channels has no weights to begin with
        kind = self.random.random()
        if kind < 0.5:
            return f"{self.new()} = self.{self.add(self.convolution(c, side))}({x})"
        if kind < 0.62:
            return f"{self.new()} = self.{self.add(f'nn.BatchNorm2d({c}, eps=0.1)')}({x})"
        if kind < 0.8:
            relu = self.pick(
                "F.relu({})", "F.relu({})", "{}.relu()", "torch.relu({})", "F.leaky_relu({}, 0.1)", "F.silu({})",
                "F.relu6({})", "F.hardswish({})", "F.relu({}, inplace=True)",
            )  # fmt: skip
            return f"{self.new()} = {relu.format(x)}"
        if kind < 0.9:
            pool = self.pick(
                "F.max_pool2d({}, 2)", "F.avg_pool2d({}, 2)", "F.max_pool2d({}, 3, 2, 1)",
                "F.adaptive_avg_pool2d({}, 1)",
                "F.dropout({}, 0.3)", "F.dropout2d({}, 0.3)", "F.interpolate({}, scale_factor=2)",
            )  # fmt: skip
            return None if "dropout" in pool and not in_rows(X) else f"{self.new()} = {pool.format(x)}"
        relu = self.pick("nn.ReLU()", "nn.ReLU(inplace=True)")
        made = f"nn.Sequential({self.convolution(c, side, c)}, nn.BatchNorm2d({c}, eps=0.1), {relu})"
        return f"{self.new()} = self.{self.add(made)}({x})"

    def convolution(self, c, side, out=None):
        k = self.pick(1, 3, 3, 3, 5)
        groups = self.pick(1, 1, 1, c)
        out = out or self.pick(c, c * 2, 4 * groups, 8 * groups, 17 * groups if groups == 1 else groups)
        options = [f"{c}, {out}, {k}"]
        if self.chance(0.8) or k > side:
            options.append(f"padding={k // 2}")
        if self.chance(0.15):
            options.append("stride=2")
        if groups > 1:
            options.append(f"groups={groups}")
        if self.chance(0.3):
            options.append("bias=False")
        return f"nn.Conv2d({', '.join(options)})"

    def disturb(self, h, other):
        forms = list(ON_TENSORS) + list(ON_ALL)
        convolutions = [n for n, made in self.layers.items() if made.startswith("nn.Conv2d")]
        norms = [n for n, made in self.layers.items() if made.startswith("nn.BatchNorm")]
        forms += ON_CONVOLUTIONS * 2 if convolutions else []
        forms += ON_NORMS if norms else []
        layer = self.pick(*convolutions) if convolutions else ""
        norm = self.pick(*norms) if norms else ""
        form = self.pick(*forms)
        if self.names[h].requires_grad and "{h}" in form and (".numpy()[" in form or ".data." in form):
            return None  # backward may read that memory in one library, and a copy in the other
        new = self.new() if "{new}" in form else ""
        return form.format(h=h, other=other, c=f"self.{layer}", b=f"self.{norm}", new=new)


ON_TENSORS = [
    "{new} = {h}.detach()", "{new} = {h}.detach()", "{new} = {h}.data", "{h}.mul_(2)", "{h}.add_(1)", "{h}.relu_()",
    "{h}.zero_()", "{h}[0] = 0.5", "{h}[:, 0] *= 2", "{h}.detach().numpy()[...] = 0.5",
    "{h}.data.add_(1)", "{h}.register_hook(lambda g: g * 2)", "{h}.retain_grad()",
    "log.append({h}.mean().item())", "log.append({h}.detach().clone())", "{h}.data_ptr()", "{h}.tolist()",
    "{new} = {h}.view({h}.size(0), -1)", "{new} = {h}.flatten(1)", "{h}.view({h}.size(0), -1).mul_(0.5)",
    "{new} = {h}[:, :1]", "{new} = {h}.permute(0, 2, 3, 1)", "{h}.detach().mul_(2)", "{new} = {h}.clone()",
    "{new} = {h} + {other}", "{new} = torch.cat([{h}, {h}], 1)", "{new} = {h} * 1",
    "{h} += {other}", "{new} = np.asarray({h}.detach()).sum().item()", "{new} = {h}.mean((2, 3))",
    "{new} = {h}.contiguous()", "{h}.requires_grad", "{new} = {h}.numpy(force=True).sum().item()",
    "{new} = {h}.reshape(-1)[:3]", "{h}.requires_grad_()", "{new} = {h}.sum(); {new}.backward(retain_graph=True)",
]  # fmt: skip
ON_ALL = [
    "self.load_state_dict({{k: v * 0.5 if v.is_floating_point() else v for k, v in self.state_dict().items()}})",
    "for p in self.parameters(): p.requires_grad_(False)",
    "for p in self.parameters(): p.requires_grad_(True)",
    "self.eval()", "self.train()", "torch.set_grad_enabled(False)", "torch.set_grad_enabled(True)",
    "with torch.no_grad(): [p.mul_(0.5) for p in self.parameters()]",
    "for p in self.parameters(): p.grad = None",
    "torch.optim.SGD(self.parameters(), lr=0.1).step()",
]  # fmt: skip
ON_CONVOLUTIONS = [
    "{c}.weight.detach().numpy()[...] *= 0.5", "{c}.weight.data.mul_(0.5)",
    "with torch.no_grad(): {c}.weight.add_(0.1)", "with torch.no_grad(): {c}.weight[0] = 0.25",
    "{c}.weight = nn.Parameter({c}.weight.detach() * 2)", "if {c}.bias is not None: {c}.bias.data.fill_(0.3)",
    "{c}.weight.requires_grad_(False)", "{new} = {c}.weight.detach()",
    "{new} = {c}({h})", "{c}.weight.data[:, 0] = 0",
]  # fmt: skip
ON_NORMS = [
    "{b}.eval()", "{b}.train()", "{b}.running_mean.add_(0.5)", "{b}.weight.data.mul_(2)", "{b}.reset_running_stats()",
    "{b}.running_var.numpy()[0] = 2", "{b}.bias.detach().numpy()[...] = 0.5", "{new} = {b}.running_mean",
    "with torch.no_grad(): {b}.weight.fill_(0.5)", "{b}.momentum = 0.5", "{b}.weight.requires_grad_(False)",
]  # fmt: skip
