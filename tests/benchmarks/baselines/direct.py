"""One `encode` and one index request after the other: what a single change must cost. Prints milliseconds as JSON."""

import json
import os
import sys
import time

from elasticsearch import Elasticsearch

from tests.benchmarks.baselines.model import load


def main() -> None:
    model = load(os.environ["MODEL"])
    es = Elasticsearch(os.environ["ELASTICSEARCH"])
    documents = json.load(sys.stdin)
    taken = []
    for number, document in enumerate(documents):
        began = time.perf_counter()
        embedding = model.encode(f"{document['title']} {document['content']}", show_progress_bar=False)
        body = {**document, "embedding": embedding.tolist()}
        es.index(index=os.environ["INDEX"], id=f"direct|{number}", routing=document["tenant"], document=body)
        taken.append(1000 * (time.perf_counter() - began))
        time.sleep(float(os.environ["PAUSE"]))
    json.dump(taken, sys.stdout)


if __name__ == "__main__":
    main()
