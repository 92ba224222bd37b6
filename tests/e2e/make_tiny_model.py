"""`python -m tests.e2e.make_tiny_model FOLDER [DIMENSIONS]`: a layer of random weights, words spelt by letter."""

import string
import sys
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizer

DIMENSIONS = 384


def make(folder: Path, dimensions: int = DIMENSIONS) -> None:
    letters = [*string.ascii_lowercase, *string.digits]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=dimensions,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    raw = folder / "transformer"
    BertModel(config).save_pretrained(raw)
    BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(raw)
    SentenceTransformer(modules=[Transformer(str(raw), max_seq_length=64), Pooling(dimensions)]).save(str(folder))


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(int, sys.argv[2:]))
