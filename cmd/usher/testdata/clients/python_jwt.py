"""PyJWT and a running usher.

python_jwt.py '{"mint": [{"alg", "key", "kid"}], "verify": [{"alg", "key", "token"}], "claims": {}}'
prints, as one line of JSON, the tokens it made and what it understood of those it was given.
"""

import json
import sys

import jwt


def verify(alg, key, token):
    try:
        return jwt.decode(token, key, algorithms=[alg])["sub"]
    except jwt.PyJWTError as error:
        return f"{alg}: {error!r}"


job = json.loads(sys.argv[1])
minted = [
    jwt.encode(job["claims"], m["key"], algorithm=m["alg"], headers={"kid": m["kid"]} if m["kid"] else None)
    for m in job["mint"]
]
print(json.dumps({"minted": minted, "verified": [verify(**v) for v in job["verify"]]}))
