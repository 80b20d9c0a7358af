#!/bin/sh
# A container runtime that is runc, with one difference: a container that joins a sandbox which was made before its pod was
# known gets the pod's host name when it is created, from the file that is mounted at /etc/hostname. Docker would give it
# the sandbox's. Register it with the engine under the name "troupe" (see docs/decisions/warm-sandboxes.md).
case " $* " in
*' create '*)
  before=
  for word; do
    [ "$before" = --bundle ] && config=$word/config.json
    before=$word
  done
  json=$(cat "$config") || exit 1
  case $json in
  *'"hostname":"troupe-warm"'*'"destination":"/etc/hostname"'* | *'"destination":"/etc/hostname"'*'"hostname":"troupe-warm"'*)
    file=${json#*'"destination":"/etc/hostname"'}
    file=${file#*'"source":"'}
    read -r name <"${file%%'"'*}"
    # The pod can write to that file: nothing but a host name may come from it.
    case $name in
    '' | *[!A-Za-z0-9.-]*) ;;
    *) printf '%s' "${json%%'"hostname":"troupe-warm"'*}\"hostname\":\"$name\"${json#*'"hostname":"troupe-warm"'}" >"$config" ;;
    esac
    ;;
  esac
  ;;
esac
exec runc "$@"
