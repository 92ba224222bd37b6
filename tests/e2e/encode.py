"""`python -m tests.e2e.encode MODEL`: a JSON list of texts in, a JSON list of vectors out."""

import json
import sys

from sentence_transformers import SentenceTransformer

if __name__ == "__main__":
    model = SentenceTransformer(sys.argv[1], device="cpu")
    vectors = model.encode(json.load(sys.stdin), show_progress_bar=False)
    json.dump(vectors.tolist(), sys.stdout)
