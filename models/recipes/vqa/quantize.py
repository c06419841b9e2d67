"""Weights in blocks, in the layout of ONNX Runtime's MatMulNBits; and back to floats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Blocks:
    bits: int
    codes: Array  # [outputs, blocks, block * bits / 8] uint8; a code is its value plus half the range
    scales: Array  # [outputs, blocks] f32


def quantized(weight: Array, bits: int, block: int) -> Blocks:
    """Symmetric, one scale a block of inputs. `weight` is [outputs, inputs]; blocks must fill the inputs.

    The scale takes the largest value to the largest code, so blocks that were quantized once stay as they are.
    """
    outputs, inputs = weight.shape
    if inputs % block:
        raise ValueError(f"{inputs} inputs are not whole blocks of {block}")
    values = weight.astype(np.float32).reshape(outputs, inputs // block, block)
    top = 2 ** (bits - 1) - 1
    largest = np.abs(values).max(axis=2)
    scales = np.where(largest == 0, 1, largest / np.float32(top)).astype(np.float32)
    codes = np.clip(np.rint(values / scales[:, :, None]), -top, top).astype(np.int16) + top + 1
    codes = codes.astype(np.uint8)
    if bits == 4:
        codes = codes[:, :, 0::2] | (codes[:, :, 1::2] << 4)
    return Blocks(bits, codes, scales)


def restored(blocks: Blocks) -> Array:
    """[outputs, inputs] f32."""
    codes = blocks.codes
    if blocks.bits == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*codes.shape[:2], -1)
    values = (codes.astype(np.float32) - 2 ** (blocks.bits - 1)) * blocks.scales[:, :, None]
    return values.reshape(len(values), -1)
