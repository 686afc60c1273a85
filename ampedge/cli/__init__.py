"""The command line: thin skins that parse, load the config, call one function and render."""

import gc

gc.set_threshold(50_000)  # importing makes many objects and no garbage: looking for it costs a tenth of the start
