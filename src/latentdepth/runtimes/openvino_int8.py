"""OpenVINO with layers in 8-bit integers, chosen and scaled by NNCF from what the layers see on photographs.

The only file that knows of nncf, which is needed to export and not to predict. Jacob et al., arXiv 1712.05877.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openvino
from torch import Tensor

from latentdepth.options import Runtime
from latentdepth.runtimes.openvino_engine import OpenVinoEngine, one_core


class OpenVinoInt8Engine(OpenVinoEngine):
    """As OpenVINO, whose files it also reads; what is not in 8 bits is computed in the dtype asked for."""

    runtime: Runtime = "openvino-int8"

    def check_calibrating(self) -> None:
        """Raises ModuleNotFoundError where NNCF is missing."""
        _nncf()

    def quantise(self, source: Path, inputs: Sequence[tuple[Tensor, ...]], path: Path) -> None:
        """The network of ``source`` into ``path``, convolutions and products of matrices in int8.

        ``inputs`` are what the network takes on photographs, each a batch of 1; the ranges of layers come from them.
        """
        nncf = _nncf()
        given = nncf.Dataset([[one.detach().cpu().contiguous().numpy() for one in row] for row in inputs])
        with one_core() as core, _quiet():
            network = nncf.quantize(
                core.read_model(source),
                given,
                subset_size=len(inputs),
                # ranges with a zero point for what follows no ReLU, and attention's sums and norms left as they are: on
                # the embedded model's encoder it halves the difference, and costs no time
                model_type=nncf.ModelType.TRANSFORMER,
                # a depthwise layer has a range of its own in each channel, and one scale for all: on a trained student
                # leaving them out takes the difference from 7 to 2 % and the gain in time from a third to a quarter
                ignored_scope=nncf.IgnoredScope(types=["GroupConvolution"], validate=False),
                advanced_parameters=_whole_range(),
            )
        openvino.save_model(network, path, compress_to_fp16=False)


def _whole_range() -> Any:
    """Ranges that hold all that was seen.

    By default NNCF takes the mean of the photos' extremes, beyond which layers are cut off: a student, whose answer has
    any offset, then misses by half on photos with a large one.
    """
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import (
        AggregatorType,
        RangeEstimatorParameters,
        StatisticsCollectorParameters,
        StatisticsType,
    )

    least = StatisticsCollectorParameters(statistics_type=StatisticsType.MIN, aggregator_type=AggregatorType.MIN)
    most = StatisticsCollectorParameters(statistics_type=StatisticsType.MAX, aggregator_type=AggregatorType.MAX)
    return AdvancedQuantizationParameters(activations_range_estimator_params=RangeEstimatorParameters(least, most))


def _nncf() -> Any:
    os.environ.setdefault("NNCF_CI", "1")  # else it tells its makers over the network that it was used
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Its own bars go to standard output, which is for results."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
