#!/bin/busybox sh
# The guest: writes files with known checksums on each of its disks for ever, and says on ttyS0 how far it is.
#
# Per disk, in /disk/NAME: N.data (random bytes), N.sum (its SHA-256, as sha256sum writes it) and `counter` (the last
# N that is whole). Order: data and new names are on disk before N.sum appears, N.sum before the counter says N, and
# the disks one after another. So at any instant, on any disk whose counter is C: every N.sum fits its N.data, the
# last KEEP files up to C are there, and the counter of an earlier disk is the same or one ahead.
export PATH=/sbin:/bin
/bin/busybox mkdir -p /proc /sys /dev /disk /run /tmp /var/run /etc
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/null >/dev/ttyS0 2>&1
stty -F /dev/ttyS0 -opost 2>/dev/null
echo "GUEST-BOOT"
ln -s /proc/self/mounts /etc/mtab

option() { sed -n "s/.*lab\.$1=\([0-9]*\).*/\1/p" /proc/cmdline; }
PAUSE_US=$(($(option pause_ms) * 1000))
KEEP=$(option keep)
LARGEST=$(($(option largest_kib) / 4))
[ "$LARGEST" -ge 1 ] || LARGEST=1

while read -r module; do insmod "/modules/$module"; done </modules/order

for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -e /sys/block/vda ] && break
    usleep 100000
done

verify() ( # disk; a subshell, so that nothing keeps the disk as its directory
    cd "/disk/$1" || exit
    c=0
    [ ! -s counter ] || c=$(cat counter)
    n=$((c - KEEP + 1))
    [ "$n" -ge 1 ] || n=1
    while [ "$n" -le "$c" ]; do
        if [ ! -e "$n.sum" ]; then
            echo "GUEST-CHECK BAD disk=$1 counter=$c missing=$n.sum"
            exit
        fi
        n=$((n + 1))
    done
    files=0
    for sum in *.sum; do
        [ -e "$sum" ] || break
        if ! sha256sum -c -s "$sum"; then
            echo "GUEST-CHECK BAD disk=$1 counter=$c mismatch=$sum"
            exit
        fi
        files=$((files + 1))
    done
    echo "GUEST-CHECK OK disk=$1 counter=$c files=$files"
)

DISKS=
for block in /sys/block/vd*; do
    [ -e "$block" ] || continue
    disk=${block##*/}
    if [ "$(dd if="/dev/$disk" bs=1 skip=1080 count=2 2>/dev/null | hexdump -e '1/1 "%02x"')" != 53ef ]; then
        if [ "$(dd if="/dev/$disk" bs=64k count=16 2>/dev/null | tr -d '\0' | wc -c)" != 0 ]; then
            echo "GUEST-CHECK BAD disk=$disk neither empty nor ext4"
            continue
        fi
        # By its path: busybox, which prefers its own, has another program of that name.
        /sbin/mke2fs -q -t ext4 -F "/dev/$disk" || echo "GUEST-CHECK BAD disk=$disk mke2fs failed"
    fi
    mkdir -p "/disk/$disk"
    if mount -t ext4 -o data=ordered "/dev/$disk" "/disk/$disk"; then
        verify "$disk"
        DISKS="$DISKS $disk"
    else
        echo "GUEST-CHECK BAD disk=$disk cannot be mounted"
    fi
done

if [ -z "$DISKS" ]; then
    echo "GUEST-CHECK BAD disk= there is no disk to write to"
    sleep 5
    poweroff -f
fi

# A new round must not begin below a counter that any disk has reached.
N=0
for disk in $DISKS; do
    c=0
    [ ! -s "/disk/$disk/counter" ] || c=$(cat "/disk/$disk/counter")
    [ "$c" -le "$N" ] || N=$c
done

for port in /sys/class/virtio-ports/*; do
    if [ -e "$port/name" ] && [ "$(cat "$port/name")" = org.qemu.guest_agent.0 ] && [ -x /sbin/qemu-ga ]; then
        mkdir -p /dev/virtio-ports /var/run /run
        ln -s "/dev/${port##*/}" /dev/virtio-ports/org.qemu.guest_agent.0
        qemu-ga -m virtio-serial -p /dev/virtio-ports/org.qemu.guest_agent.0 -t /run -f /run/qemu-ga.pid &
    fi
done

while [ ! -e /run/stop ]; do
    N=$((N + 1))
    size=$((N * 7919 % LARGEST + 1))
    for disk in $DISKS; do
        cd "/disk/$disk" || continue
        rm -f "$N.sum"
        dd if=/dev/urandom of="$N.data" bs=4k count="$size" 2>/dev/null &&
            sha256sum "$N.data" >"$N.sum.new" && echo "$N" >counter.new && sync &&
            mv "$N.sum.new" "$N.sum" && mv counter.new counter && sync || {
            echo "GUEST-ERROR disk=$disk round=$N"
            continue 2
        }
        old=$((N - KEEP))
        if [ "$old" -ge 1 ]; then
            # The checksum first: at no instant is there one without its file.
            rm -f "$old.sum"
            rm -f "$old.data"
        fi
    done
    echo "GUEST-COUNT $N"
    usleep "$PAUSE_US"
done
cd /
sync
for disk in $DISKS; do umount "/disk/$disk"; done
echo "GUEST-STOPPED $N"
poweroff -f
