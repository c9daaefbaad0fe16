"""How much word salad is found: Markov chains of one and two words, made of one half of a corpus.

    python benchmarks/salad.py INPUT ...

INPUT are files or folders that `stemma clean` reads. Half of the documents train an n-gram model, as `stemma clean
train-ngrams` does. Chains follow the words of white space, or Han characters, of that half (known) or of the other one
(unknown). Printed are the border of each of the measures chain_1 and chain_2 beyond which one in a hundred documents of the
other half lies, and the share of the chains beyond it; and the share that the measure seams finds, which needs no model.
"""

import argparse
import random
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemma.corpus import read_documents
from stemma.corpus.annotated import to_batch
from stemma.corpus.machine_text import MEASURES, MOST_SEAMS, chains, measure
from stemma.corpus.ngram_model import NgramModel
from stemma.corpus.scan import scan, scan_texts

NUM_CHAINS, LENGTHS = 200, (150, 500)
_WORD = re.compile(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", type=Path, nargs="+")
    texts = [document.text for document in read_documents(parser.parse_args().inputs)]
    rng = random.Random(0)
    rng.shuffle(texts)
    known, unknown = texts[::2], texts[1::2]
    scanned = scan_texts(known)
    model = NgramModel.train([(scanned.tokens, scanned.token_offsets)])
    print(
        f"{len(texts):,} documents; the model has {model.num_entries:,} n-grams of {len(scanned.tokens):,} tokens"
    )
    real = signs(model, unknown)
    print(f"{'':26} {'border':>8} {'known':>8} {'unknown':>8} {'by seams':>8}")
    for order in (1, 2):
        border = float(np.nanpercentile(real[:, order], 99))
        found = [signs(model, make(half, order, rng)) for half in (known, unknown)]
        shares = [float((rows[:, order] > border).mean()) for rows in found]
        seams = float((np.concatenate(found)[:, 0] > MOST_SEAMS).mean())
        print(
            f"chains of {order} word{'s' * (order > 1)}: chain_{order:<4}"
            f"{border:>9.2f} {shares[0]:>8.1%} {shares[1]:>8.1%} {seams:>8.1%}"
        )
    return 0


def make(texts: list[str], order: int, rng: random.Random) -> list[str]:
    """NUM_CHAINS texts in which every word follows the `order` before it as somewhere in `texts`."""
    followers, starts = defaultdict[tuple[str, ...], list[str]](list), list[list[str]]()
    for text in texts:
        words = _WORD.findall(text)
        for i in range(len(words) - order):
            followers[tuple(words[i : i + order])].append(words[i + order])
        if len(words) > order:
            starts.append(words[:order])
    made = list[str]()
    for _ in range(NUM_CHAINS):
        words = list(rng.choice(starts))
        for _ in range(rng.randrange(*LENGTHS)):
            found = followers.get(tuple(words[-order:]))
            words += [rng.choice(found)] if found else rng.choice(starts)
        made.append(_join(words))
    return made


def _join(words: list[str]) -> str:
    """With spaces, but beside Han characters."""
    return re.sub(r" ?([\u3400-\u9fff]) ?", r"\1", " ".join(words))


def signs(model: NgramModel, texts: list[str]) -> npt.NDArray[np.float32]:
    """(n, 3): seams, chain_1 and chain_2 of texts."""
    batch = to_batch(texts)
    scanned = scan(batch.data, batch.offsets)
    bounds = scanned.token_offsets
    seams = measure(batch.data, batch.offsets, scanned.tokens, bounds)[:, MEASURES.index("seams")]
    return np.column_stack([seams, chains(model, model.score(scanned.tokens, bounds), bounds)])


if __name__ == "__main__":
    sys.exit(main())
