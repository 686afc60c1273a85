"""The command line: thin skins that parse, load the config, call one function and render."""
