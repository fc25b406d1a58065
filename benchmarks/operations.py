"""How many operations a function starts: on a GPU the host starts each, whatever its length."""

from torch.utils._python_dispatch import TorchDispatchMode

FREE = "alias as_strided detach expand select slice split t transpose unbind unsqueeze view".split()
FREE += ["empty", "empty_like", "promote_types", "scalar_tensor"]
"""Views, memory that is not written to, and numbers of the host."""


class Operations(TorchDispatchMode):
    """The names of the operations that touch an element."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        self.names += [name] * (name not in FREE)
        return function(*args, **(kwargs or {}))
