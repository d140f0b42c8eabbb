"""Where a run computes: one device, copies of the network on several (DDP), or one spread over several (FSDP).

The only file that knows Accelerate. Does not know losses, averages or files. Processes are started from outside, by
``accelerate launch`` or ``torchrun``; alone, a run is one process. Spreading is torch's own ``fully_shard``, because
Accelerate's works on GPUs only and could not be tested elsewhere.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from datetime import timedelta

import torch
from accelerate import Accelerator, DistributedType, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from latentdepth.options import Device

_PATIENCE = timedelta(hours=3)  # the others wait while one process validates or writes
_PIECE_WEIGHTS = 10_000_000  # weights that travel together: fewer, larger messages against less memory


class Devices:
    """This process among the others, and its device."""

    def __init__(self, device: Device, *, shard: bool) -> None:
        self._accelerator = Accelerator(
            # told of no processor, Accelerate makes no group of processes where there is no accelerator, and each would
            # take itself for the only one and write over the others' files
            cpu=device == "cpu" or not torch.accelerator.is_available(),
            mixed_precision="no",  # autocast is the loop's, the same on every kind of device
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
        )
        self.rank, self.world = self._accelerator.process_index, self._accelerator.num_processes
        self.main, self.device = self._accelerator.is_main_process, self._accelerator.device
        self.sharded = shard
        if self._accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
            raise ValueError("start it without Accelerate's own FSDP or DeepSpeed; --loop.shard does what FSDP does")
        if device not in ("auto", self.device.type):
            raise ValueError(f"loop.device is {device}, but Accelerate gives {self.device.type}; allowed is auto")
        if shard and self.world == 1:
            raise ValueError(
                "loop.shard spreads a network over several processes, but this is one process; start it with "
                "`torchrun --nproc-per-node 2 -m latentdepth train ...`, or leave loop.shard out"
            )

    def prepare(self, network: nn.Module) -> nn.Module:
        """The network to compute losses with; ``network`` goes to this process's device and stays its bare form.

        Only afterwards is an optimiser made: in pieces, the weights are other objects than before.
        """
        network.to(self.device)
        if self.sharded:
            _shard(network)
            return network
        return self._accelerator.prepare(network)

    def plain_copy(self, network: nn.Module) -> nn.Module:
        """What ``save`` and ``predict`` see where the trained network is in pieces: a copy on the CPU."""
        return copy.deepcopy(network)

    @contextlib.contextmanager
    def portion(self, network: nn.Module, *, last: bool) -> Iterator[None]:
        """Gradients travel between processes with the last portion of a step only."""
        if self.sharded:
            network.set_requires_gradient_sync(last)  # pyright: ignore[reportCallIssue]
            yield
        else:
            with contextlib.nullcontext() if last else self._accelerator.no_sync(network):
                yield

    def clip(self, parameters: list[nn.Parameter], limit: float) -> Tensor:
        """Scale gradients to at most ``limit`` in norm; returns the norm before. Infinity only measures."""
        norm = nn.utils.clip_grad_norm_(parameters, limit, foreach=None if self.device.type == "cuda" else False)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def mean(self, values: Tensor) -> Tensor:
        """The mean over processes."""
        reduced = self._accelerator.reduce(values, reduction="mean")
        assert isinstance(reduced, Tensor)
        return reduced

    def wait(self) -> None:
        """Until every process is here."""
        self._accelerator.wait_for_everyone()


def leave() -> None:
    """Leave the group of processes, where there is one; the last thing a process does."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _shard(module: nn.Module) -> None:
    """Spread a module's weights, its larger parts each by themselves. Lists of modules are never called: not these."""
    from torch.distributed.fsdp import fully_shard

    for child in module.children():
        if sum(p.numel() for p in child.parameters()) >= _PIECE_WEIGHTS:
            _shard(child)
    if not isinstance(module, nn.ModuleList | nn.ModuleDict):
        fully_shard(module)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors without their pieces: each gathered from all processes. Every process must call this."""
    return {k: v.full_tensor() if isinstance(v, DTensor) else v for k, v in tensors.items()}


@torch.no_grad()
def put(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one that may be in pieces."""
    target.copy_(like(value, target))


def like(value: Tensor, target: Tensor) -> Tensor:
    """A whole tensor on the target's device and in its pieces; the dtype stays."""
    value = value.to(target.device)
    return distribute_tensor(value, target.device_mesh, target.placements) if isinstance(target, DTensor) else value
