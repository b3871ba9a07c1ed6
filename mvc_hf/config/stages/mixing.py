"""How much Algorithm 1 mixes, and what it is paired with."""

from __future__ import annotations

from dataclasses import dataclass

from ..fields import BOTH, FINETUNE, Settings, setting


@dataclass(frozen=True)
class MixingSettings(Settings):
    """Algorithm 1, and the pairs that fine-tuning makes."""

    coarse: int = setting(2, "P: coarse (row) copies of the mix", minimum=0, maximum=1024, on=BOTH)
    fine: int = setting(8, "Q: fine (element) copies of the mix", minimum=0, maximum=4096, on=BOTH)
    pairing: str = setting(
        "same-class",
        "condition and caption of a training image: others of its class (same-class) or its own (self)",
        choices=("same-class", "self"),
        on=(FINETUNE,),
    )
