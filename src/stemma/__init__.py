"""stemma: a language model from raw text to chat, and from one architecture to the next, with proof of every step."""

__version__ = "0.1.0"
