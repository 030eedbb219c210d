#!/bin/sh
# Process 1 of a machine that has to boot quickly: only what the gateway needs, which then takes its place. HOST and PORT
# are those of a collector.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 PYTHONPATH=/opt/load STATE_DIRECTORY=/var/lib/mqttgateway
mount -t proc proc /proc
mount -t sysfs sysfs /sys
modprobe virtio_net
/usr/lib/klibc/bin/ipconfig 10.0.2.15:::255.255.255.0::eth0:none
as_service="setpriv --reuid=mqttgateway --regid=mqttgateway --init-groups"
$as_service /opt/mqttgateway/bin/python /opt/load/check_outbox.py HOST PORT $STATE_DIRECTORY/entry.outbox
exec $as_service /opt/mqttgateway/bin/mqttgateway --conf entry.conf
