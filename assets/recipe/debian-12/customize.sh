#!/bin/sh
# Finishes the tree of the Debian 12 template. Called by mmdebstrap as its customize hook:
# $1 is the tree, MMDEBSTRAP_APT_CONFIG its apt configuration, QUBIST_KERNEL the kernel's meta package.
set -eu
tree=$1

# The kernel comes from dom0, the root needs its modules only: unpacked by hand, so that no
# boot loader or initrd generator follows.
mkdir -p "$tree/tmp/kernel"
(
	cd "$tree/tmp/kernel"
	export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
	package=$(apt-cache depends "$QUBIST_KERNEL" | sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p' | head -n 1)
	test -n "$package"
	apt-get -qq -o APT::Sandbox::User=root download "$package"
	dpkg-deb -x ./*.deb unpacked
	version=${package#linux-image-}
	mkdir -p "$tree/usr/lib/modules" "$tree/boot"
	mv "unpacked/lib/modules/$version" "$tree/usr/lib/modules/"
	mv "unpacked/boot/vmlinuz-$version" "$tree/boot/vmlinuz"
	chroot "$tree" depmod "$version"
)
rm -rf "$tree/tmp/kernel"

# One user, as in Qubes: administrator of the qube without a password, since the qube is the boundary.
chroot "$tree" groupadd --system qubes
chroot "$tree" useradd --create-home --uid 1000 --user-group --groups qubes,adm,sudo --shell /bin/bash --comment 'Qube user' user
chroot "$tree" usermod --lock root
printf 'user ALL=(ALL) NOPASSWD: ALL\n' >"$tree/etc/sudoers.d/qubes"
chmod 0440 "$tree/etc/sudoers.d/qubes"
sed -i '1,/^auth/{/^auth/i auth sufficient pam_succeed_if.so use_uid user ingroup qubes
}' "$tree/etc/pam.d/su"

# Identity is given at each start: the host name by /init, the machine id by systemd.
rm -f "$tree/etc/hostname" "$tree/etc/resolv.conf" "$tree/var/lib/dbus/machine-id"
: >"$tree/etc/machine-id"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$tree/etc/hosts"
printf 'LANG=C.UTF-8\n' >"$tree/etc/default/locale"

mkdir -p "$tree/rw" "$tree/usr/lib/qubes" "$tree/etc/qubes-rpc" "$tree/etc/qubes/rpc-config" \
	"$tree/etc/systemd/system.conf.d" "$tree/etc/systemd/journald.conf.d" "$tree/etc/systemd/logind.conf.d"
rm -rf "$tree/var/cache/ldconfig" "$tree/var/log/"*.log "$tree/var/log/apt"
