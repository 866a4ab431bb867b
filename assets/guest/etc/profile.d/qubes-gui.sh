# Shells that were not started from the qube's own screen find it all the same.
if [ -z "${DISPLAY-}" ] && [ -S /tmp/.X11-unix/X0 ]; then
	export DISPLAY=:0
fi
if [ -z "${XAUTHORITY-}" ] && [ -r /run/qubes/xauth ]; then
	export XAUTHORITY=/run/qubes/xauth
fi
if [ -z "${XDG_RUNTIME_DIR-}" ] && [ -d "/run/user/$(id -u)" ]; then
	XDG_RUNTIME_DIR=/run/user/$(id -u)
	export XDG_RUNTIME_DIR
fi
