#!/usr/bin/env bash
# The newest release of Grafana's SDK is the one for the oldest Grafana, and `>=11` installs it.
#
# Version:   pip 25.3, grafana-foundation-sdk 1769699998!10.1.0 and 1769699379!11.6.0
# Guess:     The version says for which Grafana it is, so `grafana-foundation-sdk>=11` installs types for Grafana 11 or
#            newer, and without a version one gets those for the newest Grafana.
# Behaviour: Each release has its build time as the epoch of its version (PEP 440: TIME!11.6.0). One build makes the
#            releases of all Grafanas, the oldest last, so that one is the newest for pip. An epoch beats all that
#            follows it: `>=11` and no version at all both install 10.1.0. Only an exact version with epoch does not.
# Seen:      of both, '>=11' installs 10.1.0, '' 10.1.0, '==1769699379!11.6.0' 11.6.0
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip=("$work/venv/bin/pip" --quiet --disable-pip-version-check)
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pip==25.3
for version in '1769699998!10.1.0' '1769699379!11.6.0'; do
    "${pip[@]}" download --no-deps --dest "$work/both" "grafana-foundation-sdk==$version"
done
same=true
look() { # SPECIFIER EXPECTED
    rm -rf "$work/chosen"
    "${pip[@]}" install --no-deps --no-index --find-links "$work/both" --target "$work/chosen" "grafana-foundation-sdk$1"
    got=$(ls "$work/chosen" | sed -n 's/^grafana_foundation_sdk-[0-9]*!*\(.*\)\.dist-info$/\1/p')
    echo "of both, '$1' installs the types of Grafana $got"
    [ "$got" = "$2" ] || same=false
}
look '>=11' 10.1.0
look '' 10.1.0
look '==1769699379!11.6.0' 11.6.0
$same && echo "as stated" || { echo CHANGED; exit 1; }
