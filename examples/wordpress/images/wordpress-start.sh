#!/bin/sh
# Brings themes, plugins and languages of the image into the folder that outlives it, then serves pages.
set -eu
: "${WORDPRESS_DB_PASSWORD:?is to be the password of the database user wordpress}"
content=/var/lib/wordpress/wp-content
for part in index.php languages plugins themes; do
  [ -e "$content/$part" ] || { cp -dR "/usr/share/wordpress-content/$part" "$content/.$part" && mv "$content/.$part" "$content/$part"; }
done
mkdir -p "$content/uploads"
exec /usr/sbin/apache2 -f /etc/apache2.conf -DFOREGROUND
