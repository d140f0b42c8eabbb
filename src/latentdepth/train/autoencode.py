"""An autoencoder from nothing: photos, and depth maps as grey pictures, through a latent of unit variance.

Paper: latent diffusion (arXiv 2112.10752).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.core.colours import uncertainty_colours
from latentdepth.data.batch import Batch
from latentdepth.data.options import TargetKind
from latentdepth.models.diffusion import decoded, posterior
from latentdepth.models.tiny_vae import tiny_latent
from latentdepth.train.options import AutoencodeOptions
from latentdepth.train.task import Judged, Task

_KEEP = 0.99
"""Of the running moments of the latent, per micro-batch."""


class Autoencode(Task[Batch]):
    """Reconstruct a batch's targets: L1, gradient L1, and a light pull of the latent to the unit normal.

    With ``teacher``, the latent is also drawn to what that published autoencoder says of the same picture: a latent
    space that was learnt from millions of photos, whose weights need not be shipped. The saved autoencoder's scaling
    factor brings its latents to unit variance, by a running mean over the batches.
    """

    kind: TargetKind = "photo"

    def __init__(
        self, vae: AutoencoderKL, options: AutoencodeOptions | None = None, *, teacher: AutoencoderTiny | None = None
    ) -> None:
        self.options = options or AutoencodeOptions()
        self.network: nn.Module = Rebuild(vae)
        self.stride = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.channels = int(vae.config["latent_channels"])
        self.teacher = teacher
        self.moments = torch.zeros(3)
        """Running means of 1, of the latent and of its square; the first makes up for the start at zero."""

    @property
    def sides_px(self) -> tuple[int, int]:
        """The stride, for both."""
        return self.stride, self.stride

    def to(self, device: torch.device) -> None:
        """Move the teacher."""
        if self.teacher is not None:
            nn.Module.to(self.teacher, device)

    def loss(self, batch: Batch, draw: torch.Generator) -> dict[str, Tensor]:
        """``l1``, ``gradient``, ``kl``, with a teacher ``match``, and their weighted sum."""
        pictures, options = three_channels(batch.target), self.options
        n, _, h, w = pictures.shape
        noise = torch.randn(n, self.channels, h // self.stride, w // self.stride, generator=draw).to(pictures)
        rebuilt, mean, logvar = self.network(pictures.contiguous(memory_format=torch.channels_last), noise)
        latest = torch.stack((mean.new_ones(()), mean.detach().mean(), mean.detach().square().mean()))
        self.moments = _KEEP * self.moments + (1 - _KEEP) * latest.cpu()
        terms = {
            "l1": (rebuilt - pictures).abs().mean(),
            "gradient": gradient_l1(rebuilt, pictures),
            "kl": 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean(),
        }
        total = terms["l1"] + options.gradient_weight * terms["gradient"] + options.kl_weight * terms["kl"]
        if self.teacher is not None:
            with torch.no_grad():
                wanted = tiny_latent(self.teacher, pictures)
            terms["match"] = F.smooth_l1_loss(mean, wanted)
            total = total + options.match_weight * terms["match"]
        return {"loss": total, **terms}

    def state(self) -> dict[str, Tensor]:
        """The running moments."""
        return {"moments": self.moments}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take them back. ValueError for another task's state."""
        if state.keys() != {"moments"}:
            raise ValueError(f"the checkpoint holds {', '.join(sorted(state)) or 'nothing'}, and no latent's moments")
        self.moments = state["moments"]

    def judge(self, batch: Batch) -> Judged:
        """Mean absolute error of a rebuilt picture in [-1, 1], also by what it shows; picture, rebuilt, error."""
        pictures = three_channels(batch.target)
        vae = self._bare()
        latent = posterior(vae, pictures.to(next(vae.parameters()))).mode()
        rebuilt = decoded(vae, latent).float().cpu()
        error = (rebuilt - pictures).abs()
        l1 = float(error.mean())
        shown = "depth" if batch.target.shape[1] == 1 else "photo"
        seen = tuple(((picture[0] + 1) / 2).clamp(0, 1) for picture in (pictures, rebuilt))
        return Judged({"l1": l1, f"{shown}_l1": l1}, (*seen, uncertainty_colours(error.mean(1, keepdim=True))[0]))

    def save(self, folder: Path) -> None:
        """A ``vae`` component folder inside ``folder``."""
        vae, (count, mean, square) = self._bare(), self.moments.tolist()
        variance = square / count - (mean / count) ** 2 if count > 0 else 1.0
        vae.register_to_config(scaling_factor=round(variance**-0.5, 5))
        vae.save_pretrained(folder / "vae", safe_serialization=True)

    def _bare(self) -> AutoencoderKL:
        if not isinstance(self.network, Rebuild):
            raise TypeError(f"the network is a {type(self.network).__name__}: unwrap it before saving or judging")
        return self.network.vae


class Rebuild(nn.Module):
    """Encoder and decoder as one call, which is what a wrapper for several processes needs."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(
        self, pictures: Float[Tensor, "n 3 h w"], noise: Float[Tensor, "n k hl wl"]
    ) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n k hl wl"], Float[Tensor, "n k hl wl"]]:
        """The rebuilt pictures, and mean and log variance of their latents."""
        encoded = posterior(self.vae, pictures)
        mean, logvar = encoded.mean.float(), encoded.logvar.float().clamp(-12, 4)
        return decoded(self.vae, mean + (0.5 * logvar).exp() * noise).float(), mean, logvar


def three_channels(target: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 3 h w"]:
    """A depth map as a grey picture; what has three channels as it is."""
    return target.expand(-1, 3, -1, -1)


def gradient_l1(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Tensor:
    """Mean absolute difference of horizontal and vertical finite differences, at full and half size."""
    total = a.new_zeros(())
    for _ in range(2):
        difference = a - b
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return total
