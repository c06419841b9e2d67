"""What the three stages of training share: the schedule, checkpoints that a stopped run goes on from, progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from configuration import Schedule, replacing

Step = Callable[[int], tuple[torch.Tensor, dict[str, float]]]


class Trainer:
    """AdamW over the parameters that are to learn. A step's data is a function of its number, so a checkpoint holds no
    random state."""

    def __init__(self, modules: dict[str, nn.Module], parameters: list[nn.Parameter], schedule: Schedule) -> None:
        self.modules, self.parameters, self.schedule = modules, parameters, schedule
        matrices = [p for p in parameters if p.dim() > 1]
        others = [p for p in parameters if p.dim() <= 1]
        groups = [
            {"params": matrices, "weight_decay": schedule.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=schedule.moments, fused=True)

    def update(self, loss: torch.Tensor, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()

    def save(self, path: Path, step: int, extra: dict[str, Any]) -> None:
        state = {name: module.state_dict() for name, module in self.modules.items()}
        with replacing(path) as temporary:
            torch.save({"modules": state, "optimizer": self.optimizer.state_dict(), "step": step, **extra}, temporary)

    def resume(self, path: Path) -> dict[str, Any]:
        """What `save` was given; empty where there is no checkpoint."""
        if not path.exists():
            return {}
        saved = torch.load(path, weights_only=False)
        for name, module in self.modules.items():
            module.load_state_dict(saved["modules"][name])
        self.optimizer.load_state_dict(saved["optimizer"])
        return saved


def train(name: str, trainer: Trainer, checkpoint: Path, step_of: Step) -> dict[str, Any]:
    """Runs `step_of` for every step that is left; returns the figures of the last one, means over a window."""
    saved = trainer.resume(checkpoint)
    step, seconds, shown = saved.get("step", 0), saved.get("seconds", 0.0), saved.get("shown", {})
    begun = time.monotonic() - seconds
    schedule = trainer.schedule
    with tqdm(total=schedule.steps, initial=step, unit="step", desc=name, mininterval=5) as bar:
        while step < schedule.steps:
            loss, figures = step_of(step)
            trainer.update(loss, schedule.rate(step))
            for key, value in figures.items():
                shown[key] = value if key not in shown else 0.95 * shown[key] + 0.05 * value
            step += 1
            bar.update()
            bar.set_postfix({key: f"{value:.3f}" for key, value in shown.items()}, refresh=False)
            if step % schedule.checkpoint_every == 0 or step == schedule.steps:
                seconds = time.monotonic() - begun
                trainer.save(checkpoint, step, {"seconds": seconds, "shown": shown})
                bar.write(f"{name} step {step}, {seconds:.0f} s: " + " ".join(f"{k} {v:.4f}" for k, v in shown.items()))
    return {"steps": step, "seconds": round(seconds, 1), **{key: round(value, 4) for key, value in shown.items()}}
