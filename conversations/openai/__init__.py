"""OpenAI's chat completions, as its clients speak them, over the same turns as every other endpoint's."""
