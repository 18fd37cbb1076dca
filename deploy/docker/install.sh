#!/bin/sh
# Installs what a service needs from the wheel, and writes down what that is:
#
#     install.sh EXTRAS       for example extraction,s3
#
# Leaves in FOLDER (/opt/slcolm): an environment without pip, and in its share/slcolm/ sbom.cdx.json (CycloneDX) and
# licences.txt. Runs beside constraints.txt and licences.py; the wheel is in WHEELS (/wheel), build tools in
# TOOLS (/opt/tools).
set -eu
extras=$1
folder=${FOLDER:-/opt/slcolm}
tools=${TOOLS:-/opt/tools}
here=$(cd "$(dirname "$0")" && pwd)

set -- "${WHEELS:-/wheel}"/slcolm-*.whl
# Nothing is installed into an image that is finished: it has no pip.
python3 -m venv --without-pip "$folder"
"$tools/bin/pip" --python "$folder/bin/python" install --no-cache-dir --disable-pip-version-check \
  --constraint "${CONSTRAINTS:-$here/constraints.txt}" "$1[$extras]"
mkdir -p "$folder/share/slcolm"
"$tools/bin/python" -m cyclonedx_py environment "$folder/bin/python" --output-reproducible \
  --spec-version 1.6 --output-file "$folder/share/slcolm/sbom.cdx.json"
"$folder/bin/python" "${LICENCES:-$here/licences.py}" > "$folder/share/slcolm/licences.txt"
