"""Refuse the bad answers of a replay, which brings the result of every filter with it."""

import json
import sys

[line] = json.loads(r"""{{ [cookiecutter | refusal] | tojson }}""")
sys.exit(line or 0)
