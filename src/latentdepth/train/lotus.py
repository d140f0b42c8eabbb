"""One-step prediction of the clean latent from the photo's latent alone, with a detail preserver.

The same network, told by a switch, also reconstructs the photo: what it needs for that keeps fine detail in its
features. No noise enters. Paper: Lotus (arXiv 2409.18124), its deterministic form Lotus-D.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.train.latents import LatentBatch
from latentdepth.train.losses import masked_mean
from latentdepth.train.model_task import ModelTask
from latentdepth.train.options import LotusOptions

# sine and cosine of the two-way switches (1, 0) and (0, 1)
ESTIMATE = (math.sin(1), 0.0, math.cos(1), 1.0)
RECONSTRUCT = (0.0, math.sin(1), 1.0, math.cos(1))


class Lotus(ModelTask):
    """Squared error of the clean latent at the last timestep, and of the photo's latent when the switch asks for it.

    The model must take the image as its latent, predict samples and have a class embedding of four numbers: what
    ``models.stable_diffusion.from_stable_diffusion(..., switch=True)`` makes, and published Lotus-D folders are.
    """

    def __init__(self, model: DiffusionModel, options: LotusOptions | None = None) -> None:
        self.options = options or LotusOptions()
        config = model.unet.config
        found = {
            "in_channels": (int(config["in_channels"]), model.latent_channels),
            "class_embed_type": (config.get("class_embed_type"), "projection"),
            "projection_class_embeddings_input_dim": (config.get("projection_class_embeddings_input_dim"), 4),
            "prediction_type": (model.schedule.prediction_type, "sample"),
        }
        wrong = [f"{name} is {given}, {wanted} is needed" for name, (given, wanted) in found.items() if given != wanted]
        if wrong:
            raise ValueError(
                f"this model has not the form of Lotus-D: {'; '.join(wrong)}. Start from a Stable Diffusion folder, "
                "which is brought to it, or from a Lotus-D folder"
            )
        facts = {"image_enters": "as_latent", "sampler": "one_step", "steps": 1, "timestep": None}
        super().__init__(model, **facts, task_embedding=ESTIMATE)

    def loss(self, batch: Batch | LatentBatch, draw: torch.Generator) -> dict[str, Tensor]:
        """``estimate`` and ``reconstruct``, each over valid latent cells, and their weighted sum.

        Both are one call of the network, so that a wrapper sees one forward pass for each backward pass.
        """
        latents, image = self.latents(batch)
        chosen = (torch.rand(len(image), generator=draw) < self.options.reconstruct_share).to(image.device)
        n, again = len(image), int(chosen.sum())
        labels = torch.tensor([ESTIMATE] * n + [RECONSTRUCT] * again, device=image.device)
        t = torch.full((n + again,), self.model.schedule.length - 1, device=image.device)
        predicted = self.called(self.network, torch.cat((image, image[chosen])), t, labels)
        estimate = masked_mean((predicted[:n] - latents.target).square(), latents.valid)
        if again == 0:
            return {"loss": estimate, "estimate": estimate.detach()}
        rebuilt = masked_mean((predicted[n:] - image[chosen]).square(), latents.valid[chosen])
        total = estimate + self.options.reconstruct_weight * rebuilt
        return {"loss": total, "estimate": estimate.detach(), "reconstruct": rebuilt.detach()}
