#!/bin/sh
# Makes extract.wasm of extract.py. `pip install componentize-py==0.25.1` brings the tool.
set -eu
INFWASI=${INFWASI:-../..} # where infwasi's wit/ is

# --stub-wasi: the component imports no WASI, because it would be refused. A call of it traps.
componentize-py --quiet --wit-path "$INFWASI/wit" --world inference-component \
    componentize --stub-wasi --python-path . extract --output extract.wasm
