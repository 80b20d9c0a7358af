#!/bin/sh
# Makes the database below /data on the first start, then serves it. What is half made after a crash is made anew.
set -eu
: "${MARIADB_PASSWORD:?is to be the password of the user wordpress}"
umask 077
sql=/usr/share/mysql
set -- --no-defaults --lc-messages-dir=$sql --plugin-dir=/usr/lib/mysql/plugin --tmpdir=/tmp \
  --innodb-buffer-pool-size=64M --innodb-log-file-size=16M --performance-schema=off --innodb-use-native-aio=0

if [ ! -d /data/db ]; then
  echo 'making the database'
  rm -rf /data/db.new
  mkdir /data/db.new
  {
    echo 'CREATE DATABASE mysql;'
    echo 'USE mysql;'
    echo "SET @auth_root_socket='nobody';"
    cat $sql/mysql_system_tables.sql $sql/mysql_performance_tables.sql $sql/mysql_system_tables_data.sql \
      $sql/fill_help_tables.sql $sql/maria_add_gis_sp_bootstrap.sql
  } | /usr/sbin/mariadbd "$@" --bootstrap --datadir=/data/db.new
  sync
  mv /data/db.new /data/db
fi

password=$(printf '%s' "$MARIADB_PASSWORD" | sed "s/\\\\/\\\\\\\\/g; s/'/''/g")
cat > /tmp/init.sql <<END
CREATE DATABASE IF NOT EXISTS wordpress;
CREATE USER IF NOT EXISTS 'wordpress'@'%';
ALTER USER 'wordpress'@'%' IDENTIFIED BY '$password';
GRANT ALL ON wordpress.* TO 'wordpress'@'%';
END
exec /usr/sbin/mariadbd "$@" --datadir=/data/db --init-file=/tmp/init.sql --socket=/tmp/mariadb.sock \
  --pid-file=/tmp/mariadb.pid --bind-address=0.0.0.0 --skip-name-resolve
