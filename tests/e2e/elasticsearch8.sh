#!/bin/sh
# The oldest supported client on the oldest supported server: contract tests, and the whole path once.
# Usage: tests/e2e/elasticsearch8.sh [pytest options]; UV and PYTHON name other programs than the usual ones.
#
# The pins come from: echo 'elasticsearch>=8.19,<9' > c.txt; uv pip compile pyproject.toml --constraint c.txt --universal
set -eu
cd "$(dirname "$0")/../.."

venv=.venv-es8
uv=${UV:-.venv/bin/uv}
if [ ! -x "$venv/bin/python" ]; then
    "${PYTHON:-.venv/bin/python}" -m venv --without-pip "$venv"
fi
install="$uv pip install --quiet --python $venv/bin/python"
$install --requirements requirements/dev.txt --overrides requirements/elasticsearch8.txt
$install --no-deps --editable .

"$venv/bin/python" -c 'import elasticsearch; assert elasticsearch.__version__[0] == 8, elasticsearch.__version__'
exec "$venv/bin/python" -m pytest -p tests.e2e.oldest_elasticsearch --servers jvm \
    tests/contract tests/e2e/test_search.py "$@"
