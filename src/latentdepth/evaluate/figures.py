"""What figures are called in tables, in which unit they are printed, and which end is good. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One figure as it is printed."""

    label: str
    better: Literal["low", "high"]
    percent: bool = False
    """A ratio, printed as hundredths."""
    digits: int = 3

    @property
    def head(self) -> str:
        """The label with its unit and the good direction, as a column's head."""
        return f"{self.label}{' %' if self.percent else ''} {'↓' if self.better == 'low' else '↑'}"

    def text(self, value: float) -> str:
        """The number alone."""
        return f"{value * 100 if self.percent else value:.{self.digits}f}"


FIGURES: Mapping[str, Figure] = {
    "abs_rel": Figure("AbsRel", "low", percent=True, digits=2),
    "delta1": Figure("δ1", "high", percent=True, digits=2),
    "delta05": Figure("δ0.5", "high", percent=True, digits=2),
    "delta2": Figure("δ2", "high", percent=True, digits=2),
    "delta3": Figure("δ3", "high", percent=True, digits=2),
    "sq_rel": Figure("SqRel", "low"),
    "mae": Figure("MAE", "low"),
    "rmse": Figure("RMSE", "low"),
    "rmse_log": Figure("RMSElog", "low"),
    "log10": Figure("log10", "low", digits=4),
    "si_log": Figure("SILog", "low", digits=2),
    "i_mae": Figure("iMAE", "low", digits=4),
    "i_rmse": Figure("iRMSE", "low", digits=4),
    "mean_deg": Figure("mean °", "low", digits=2),
    "median_deg": Figure("median °", "low", digits=2),
    "below_5": Figure("< 5°", "high", percent=True, digits=1),
    "below_7.5": Figure("< 7.5°", "high", percent=True, digits=1),
    "below_11.25": Figure("< 11.25°", "high", percent=True, digits=1),
    "below_22.5": Figure("< 22.5°", "high", percent=True, digits=1),
    "below_30": Figure("< 30°", "high", percent=True, digits=1),
    "ordinal": Figure("pairs right", "high", percent=True, digits=2),
    "whdr": Figure("WHDR", "low", percent=True, digits=2),
    "boundary_f1": Figure("boundary F1", "high", percent=True, digits=2),
    "edge_accuracy_px": Figure("edge acc. px", "low", digits=2),
    "edge_completeness_px": Figure("edge compl. px", "low", digits=2),
    "chamfer_m": Figure("Chamfer m", "low"),
    "cloud_accuracy_m": Figure("cloud acc. m", "low"),
    "cloud_completeness_m": Figure("cloud compl. m", "low"),
    "f_score": Figure("F-score", "high", percent=True, digits=2),
    "ause": Figure("AUSE", "low", digits=4),
    "aurg": Figure("AURG", "high", digits=4),
    "ause_gradient": Figure("AUSE of gradients", "low", digits=4),
}
"""By the name that rows carry; tables keep this order."""

MAIN: tuple[str, ...] = ("abs_rel", "delta1", "mean_deg", "below_11.25", "ordinal")
"""The figures that papers print; these carry confidence intervals."""
