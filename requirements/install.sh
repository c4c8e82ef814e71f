#!/usr/bin/env bash
# Builds the environment of this checkout, or completes an existing one. Called by `make env`; run it from the checkout.
#
#   VENV    the environment (.venv). Absent: it is created and gets the tested versions of env.txt and constraints.txt.
#           Made by somebody else: what is installed there stays as it is, torch and Detectron2 above all; only missing
#           packages are added.
#   PYTHON  the interpreter that creates it, 3.10 to 3.13. Without it the first good one on PATH is taken.
#   OLDEST  set: the versions of oldest.txt take the place of the tested ones (Python 3.10 to 3.12).
#
# The network is used through pip alone.
set -euo pipefail

here=requirements
venv=${VENV:-.venv}
ours=$venv/.made_by_pointrend_ext # marks an environment that this script may fill freely
py=$venv/bin/python
newest=$([[ -n ${OLDEST:-} ]] && echo 12 || echo 13) # the second number of the last Python with wheels
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USE_PEP517=1

say() { echo "[env] $*"; }
die() {
    echo "[env] error: $*" >&2
    exit 1
}
pip_install() { "$py" -m pip install -q "$@"; }
# Names go through a shim that may exist and yet not run, and Debian splits off ensurepip: so try, do not look.
can_create() {
    "$1" -c "import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $newest))" 2>/dev/null
}
has_module() { "$py" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)"; }

choose_python() {
    local name path
    if [[ -n ${PYTHON:-} ]]; then
        can_create "$PYTHON" || die "PYTHON=$PYTHON is no working Python 3.10 to 3.$newest with the venv module" \
            "(it answers: $("$PYTHON" --version 2>&1 | head -n 1)); name another one."
        echo "$PYTHON"
        return
    fi
    for name in python3.11 python3.12 python3.13 python3.10 python3 python; do
        while read -r path; do
            if can_create "$path"; then
                echo "$path"
                return
            fi
        done < <(type -aP "$name")
    done
    die "no Python 3.10 to 3.$newest with the venv module on PATH; install one (Debian, Ubuntu: apt install" \
        "python3-venv) or name it: make env PYTHON=/path/to/python."
}

create_environment() {
    local python
    python=$(choose_python)
    say "creating $venv with $("$python" --version) ($python)"
    mkdir -p "$venv"
    touch "$ours"
    "$python" -m venv "$venv"
}

check_environment() {
    [[ -x $py ]] || die "VENV=$venv exists but has no bin/python; name an environment, or a folder that does not exist."
    "$py" -m pip --version >/dev/null 2>&1 || die "$py has no pip; run '$py -m ensurepip' first."
    "$py" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "$py is $("$py" --version), and pointrend_ext needs Python 3.10 or later; name another VENV."
}

# The tested versions of everything.
install_tested() {
    say "installing the tested packages into $venv (5.8 GB, about two minutes when the network is fast)"
    local file
    for file in env constraints; do
        cp $here/$file.txt "$work"
        [[ -z ${OLDEST:-} ]] || grep -vE "^($(sed -n 's/==.*//p' $here/oldest.txt | paste -sd '|'))[<=>]" \
            $here/$file.txt >"$work/$file.txt"
    done
    pip_install -r "$work/env.txt" ${OLDEST:+-r $here/oldest.txt} -c "$work/constraints.txt"
    # Without the system library libGL only the headless build of the same OpenCV can be imported.
    if ! "$py" -c 'import cv2' 2>/dev/null; then
        say "this system lacks what OpenCV's windows need: taking the headless build"
        pip_install --no-deps "opencv-python-headless==$("$py" -m pip show opencv-python | sed -n 's/^Version: //p')"
    fi
}

# Into somebody else's environment: the packages of env.txt that are not there, never another version of one that is.
install_missing() {
    say "using $venv as it is and adding what is missing"
    "$py" - $here/env.txt "$work/installed.txt" >"$work/missing.txt" <<'END'
import importlib.metadata
import re
import sys

def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()

installed = {}
for dist in importlib.metadata.distributions():
    if dist.metadata["Name"]:
        installed.setdefault(plain(dist.metadata["Name"]), dist.version)
with open(sys.argv[2], "w") as constraints:
    constraints.writelines(f"{name}=={version}\n" for name, version in installed.items())
if any(name.startswith("opencv-") for name in installed):  # each of its builds provides cv2
    installed["opencv-python"] = None
for line in open(sys.argv[1]):
    requirement = line.split("#")[0].strip()
    if requirement and plain(re.match(r"[\w.-]+", requirement).group()) not in installed:
        print(requirement)
END
    if [[ -s $work/missing.txt ]]; then
        say "adding: $(sed 's/;.*//' "$work/missing.txt" | tr '\n' ' ')"
        pip_install -r "$work/missing.txt" -c "$work/installed.txt"
    fi
}

# The wheel is tagged for Python 3.10, although all that we use of it is plain Python: so it is unpacked rather than
# installed. Two things stay out of the environment: _C, compiled for that one Python (Detectron2 does without), and a
# top-level package "tools", which would shadow or overwrite other people's.
install_detectron2() {
    local site unpacked=$work/detectron2
    site=$("$py" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    say "installing Detectron2 from $(grep -o '^sal-[^ ]*' $here/detectron2.txt), checked against its hash"
    pip_install --require-hashes --no-deps --target "$unpacked" --python-version 3.10 --implementation cp \
        --abi none --only-binary=:all: -r $here/detectron2.txt
    rm -f "$unpacked"/detectron2/_C*.so
    sed -i.bak -e '/^tools\//d' -e '/^detectron2\/_C/d' "$unpacked"/sal_detectron2-*.dist-info/RECORD
    rm "$unpacked"/sal_detectron2-*.dist-info/RECORD.bak
    rm -rf "$site"/detectron2 "$site"/sal_detectron2-*.dist-info
    mv "$unpacked"/detectron2 "$unpacked"/sal_detectron2-*.dist-info "$site"
}

is_absent_or_ours() { [[ -e $ours || ! -e $venv ]] || [[ -d $venv && -z $(ls -A "$venv") ]]; }

main() {
    # An interrupted creation of our own has no pip yet and is completed; a finished one is left alone.
    if is_absent_or_ours && ! "$py" -m pip --version >/dev/null 2>&1; then
        create_environment
    elif [[ -n ${PYTHON:-} ]]; then
        say "note: PYTHON= is not used, because $venv is there already"
    fi
    check_environment
    rm -f "$venv"/.pointrend_ext-* # the stamps of make: from here on the environment is in flux

    if [[ -e $ours ]] || ! has_module torch; then
        "$py" -c 'import sys; sys.exit(sys.version_info[:2] > (3, '"$newest"'))' ||
            die "$py is $("$py" --version), and the tested packages exist for 3.10 to 3.$newest; name another VENV or PYTHON."
        install_tested
    else
        install_missing
    fi
    local wanted found
    wanted=$(sed -n 's/^sal-detectron2==\([^ ]*\).*/\1/p' $here/detectron2.txt)
    found=$("$py" -m pip list 2>/dev/null | awk '$1 ~ /^sal[-_]detectron2$/ { print $2 }')
    if ! has_module detectron2 || [[ -e $ours && $found != "$wanted" ]]; then
        install_detectron2
    fi
    say "installing pointrend_ext itself, editable"
    pip_install --no-deps --no-build-isolation -e .
    "$py" -W ignore -c 'import cv2, detectron2, torch, torchvision; import pointrend_ext' ||
        die "$venv is complete, yet the import above failed."
    say "ready: $("$py" --version), $("$py" -m pip list 2>/dev/null | awk '$1 ~ /^(torch|torchvision|.*detectron2|numpy)$/ { printf "%s%s %s", comma, $1, $2; comma = ", " }')"
}

main
exit # bash reads a script as it runs it: nothing after this, even if the file changes meanwhile
