"""`python -m chatproject.start run|test|env`: what the Makefile's targets need before they can do their own work."""

import sys

from chatproject.start import envfile, install, preflight


def main(target: str) -> None:
    wanted = {
        "run": [install.SERVER, install.MODEL],
        "test": [install.SERVER, install.MODEL, install.TOOLS],
        "env": [],
    }[target]
    missing = install.missing(wanted)
    if missing:
        preflight.check_python()
    preflight.check_room(sum(item.megabytes for item in missing))
    if target == "run":
        preflight.check_ports()
    if missing:
        install.install(missing)
    if target != "test" and envfile.create():
        install.say("Wrote .env with a random SECRET_KEY.")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except preflight.CannotStart as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.strerror}: {error.filename}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; the same command goes on from here.")
