"""Low-rank adapters on a U-Net or a transformer: put in, saved, and merged into plain weights (LoRA, arXiv 2106.09685).

The only file that knows peft. A U-Net with adapters trains those alone; a saved folder is like any other.
"""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import TypeVar

from diffusers import UNet2DConditionModel
from torch import nn

from latentdepth.train.options import LoraOptions


def with_lora(unet: UNet2DConditionModel, options: LoraOptions) -> UNet2DConditionModel:
    """Put adapters into the layers whose names end as ``options.targets`` say, and freeze everything else; in place.

    The adapters start at zero, so the network's output does not change. Their first weights come from torch's global
    generator: modules take no other. Raises ValueError when a target names no layer, when the network has adapters
    already, or when peft is not installed.
    """
    _require_peft()
    from peft import LoraConfig

    if has_adapters(unet):
        raise ValueError("the network has adapters already; merge them first, or start from the base model")
    names = [name for name, _ in unet.named_modules()]
    absent = [t for t in options.targets if not any(n == t or n.endswith("." + t) for n in names)]
    if absent:
        raise ValueError(
            f"lora.targets: no layer's name ends in {', '.join(absent)}; names here end in, for example, "
            f"{', '.join(sorted({n.rsplit('.', 1)[-1] for n in names if 'to_' in n or 'conv_' in n}))}"
        )
    unet.add_adapter(
        LoraConfig(r=options.rank, lora_alpha=options.alpha, target_modules=list(options.targets))  # pyright: ignore[reportArgumentType]
    )
    return unet


def has_adapters(unet: UNet2DConditionModel) -> bool:
    """Whether ``with_lora`` has been here."""
    return bool(getattr(unet, "_hf_peft_config_loaded", False))


def save_adapters(unet: UNet2DConditionModel, folder: Path) -> None:
    """The adapters alone, as safetensors that diffusers' ``load_lora_adapter`` reads onto the base model."""
    unet.save_lora_adapter(folder, safe_serialization=True)


def add_adapters(blocks: nn.Module, rank: int) -> None:
    """Put an adapter beside every linear layer of ``blocks``; in place. What learnt before goes on learning.

    Adapters start at zero, their first weights come from torch's global generator. Raises ValueError when peft is not
    installed.
    """
    _require_peft()
    from peft import LoraConfig, inject_adapter_in_model

    learning = [weight for weight in blocks.parameters() if weight.requires_grad]
    names = [name for name, layer in blocks.named_modules() if isinstance(layer, nn.Linear)]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names), blocks)
    for weight in learning:  # peft freezes all but its own
        weight.requires_grad_(True)


NetworkT = TypeVar("NetworkT", bound=nn.Module)


def without_adapters(network: NetworkT) -> NetworkT:
    """The network with its adapters added to its weights, as one that never had any; itself where there are none.

    A copy, because adding and taking away again would leave the trained weights with other rounding.
    """
    if not any(name.endswith("lora_A") for name, _ in network.named_modules()):
        return network
    from peft.tuners.lora import LoraLayer

    plain = copy.deepcopy(network)
    if isinstance(plain, UNet2DConditionModel):
        # what diffusers goes by when it is asked whether there are adapters
        plain._hf_peft_config_loaded = False
        del plain.peft_config
    for name, layer in list(plain.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            parent, _, child = name.rpartition(".")
            setattr(plain.get_submodule(parent), child, layer.get_base_layer())
    return plain


def _require_peft() -> None:
    if importlib.util.find_spec("peft") is None:
        raise ValueError("LoRA needs peft; type: pip install 'latentdepth[train]'")
