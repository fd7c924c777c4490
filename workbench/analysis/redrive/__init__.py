"""Re-drive: sending dead letters' events again. Planned here, tried in replay, sent on purpose, and followed."""

from workbench.analysis.redrive.follow import Redrives, redrives
from workbench.analysis.redrive.plan import RedrivePlan, plan
from workbench.analysis.redrive.send import Redriven

__all__ = ["RedrivePlan", "Redriven", "Redrives", "plan", "redrives"]
