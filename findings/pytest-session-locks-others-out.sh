#!/usr/bin/env bash
# A second pytest session takes away the permissions under which a test of the first one is running.
#
# Version:   pytest 9.2.0
# Guess:     tmp_path belongs to its test until the test ends. A test that must share a file with a server of another
#            user opens tmp_path and its parents with chmod 755 first, and that stays as long as the test runs.
# Behaviour: Every session that uses tmp_path sets the common parent of all sessions of this user (pytest-of-USER)
#            back to 700, also while tests of another session run below it. The server then loses its files in the
#            middle: "Permission denied" for a path that it opened a moment before.
# Seen:      before the other session: 755; after it, in the same test: 700. Its own directory: 755, 755
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pytest==9.2.0

cat > "$work/test_first.py" <<'PY'
import subprocess
import sys
from pathlib import Path


def modes(tmp_path):
    """Of the common parent of all sessions, and of the directory of this test."""
    return [f"{path.stat().st_mode & 0o777:o}" for path in (tmp_path.parent.parent, tmp_path)]


def test_that_shares_its_directory_with_a_server(tmp_path):
    for path in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        path.chmod(0o755)
    before = modes(tmp_path)
    other = Path(__file__).with_name("test_second.py")
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", other], check=True)
    Path(__file__).with_name("seen").write_text(f"{before} {modes(tmp_path)}")
PY
echo 'def test_of_another_session(tmp_path): assert tmp_path.exists()' > "$work/test_second.py"

mkdir "$work/temp"
PYTEST_DEBUG_TEMPROOT=$work/temp "$work/venv/bin/python" -m pytest -q -p no:cacheprovider "$work/test_first.py"
seen=$(cat "$work/seen")
echo "common parent and own directory, before and after: $seen"
if [ "$seen" = "['755', '755'] ['700', '755']" ]; then
    echo "as stated"
else
    echo "CHANGED"
    exit 1
fi
