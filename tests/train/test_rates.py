"""Learning rates of parts of a network, and the polynomial schedule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from latentdepth.train.loop_config import OptimConfig
from latentdepth.train.optim import learning_rate, make_optimiser, split_rates


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(2, 2), nn.Linear(2, 2)


def test_parts_learn_at_their_share():
    network = Two()
    optimiser = make_optimiser(OptimConfig(), network.parameters())
    split_rates(optimiser, network, {"encoder.": 0.1})
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for group in optimiser.param_groups:
        group["lr"] = 0.01 * group.get("share", 1.0)
    network.head(network.encoder(torch.ones(1, 2))).sum().backward()
    optimiser.step()
    moved = {name: float((p.detach() - before[name]).abs().max()) for name, p in network.named_parameters()}
    # Adam's first step is the rate itself, whatever the gradient
    assert moved["head.bias"] == pytest.approx(0.01, rel=1e-3)
    assert moved["encoder.bias"] == pytest.approx(0.001, rel=1e-3)
    assert sorted(len(group["params"]) for group in optimiser.param_groups) == [2, 2]


def test_frozen_parts_stay_out_and_foreign_names_are_refused():
    network = Two()
    network.encoder.weight.requires_grad_(False)
    optimiser = make_optimiser(OptimConfig(), [p for p in network.parameters() if p.requires_grad])
    split_rates(optimiser, network, {"encoder.": 0.1})
    assert sum(len(group["params"]) for group in optimiser.param_groups) == 3
    with pytest.raises(ValueError, match=r"begins with 'body\.'"):
        split_rates(optimiser, network, {"body.": 0.1})
    split_rates(make_optimiser(OptimConfig(), network.head.parameters()), network, {})


def test_polynomial_decay_is_the_published_one():
    config = OptimConfig(lr=5e-6, schedule="polynomial", warmup=0, final=1e-6)
    for step in (0, 10, 50, 99):
        wanted = 5e-6 * (1 - step / 100) ** 0.9
        assert learning_rate(config, step, 100) == pytest.approx(wanted, rel=1e-4)  # final is a millionth
