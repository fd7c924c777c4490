"""Dead letters: rates with their denominator, fingerprints, roles, attempts, affected streams."""

from workbench.analysis.dead_letters.fingerprints import Fingerprints
from workbench.analysis.dead_letters.letters import DeadLetters
from workbench.analysis.dead_letters.rates import DeadLetterRates
from workbench.analysis.dead_letters.summaries import Attempts

__all__ = ["Attempts", "DeadLetterRates", "DeadLetters", "Fingerprints"]
