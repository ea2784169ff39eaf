#!/bin/sh
# Tune a whole training script: sh examples/command.sh [TRIALS]
here=$(dirname "$0")
exec sllmbo tune \
  --command "python $here/train.py --features {features} --reach {reach} --lr {lr} --momentum {momentum}" \
  --space "$here/train.toml" --metric loss --direction minimize --time-limit 60 --pruner median \
  --trials "${1:-30}" --llm offline
