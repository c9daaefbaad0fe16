"""Quantised checkpoints as the dense ones they stand for: published names in, published dense names out, lazily.

gptq          packed integers with a scale and a zero point per group of inputs
rows          one scale per output row: what ChatGLM's own quantiser writes
bitsandbytes  4-bit NormalFloat with a scale per block, and 8 bits with a scale per row
view          the source that shows what they stand for
recognise     which layout a config speaks of, told without reading a tensor
"""

from stemma.checkpoint.quantized.recognise import dense_config, dequantized, quantization, with_side_file
from stemma.checkpoint.quantized.rows import quantize_rows

__all__ = ["dense_config", "dequantized", "quantization", "quantize_rows", "with_side_file"]
