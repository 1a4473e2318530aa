# Runs a program in Perl, as one process in the place of the shell's; exit code 100: there is no Perl, or the program leaves it.
#   sh -c PROGRAM sh PERL_PROGRAM ARGUMENT...
# Who asks knows nothing of the host yet, so what is said here is meant for a shell that is kept: as a function in a subshell, which
# Perl then is, it costs a host one process. Nothing else is tried here, and nothing is written: what is left is asked of the shell's
# own programs by an exchange more, which sends them. Where a part of PATH is not an absolute folder a tool could be what a
# container has put into the folder of the project, and the shell's programs know how to do without such a part.
case :$PATH: in *:[!/]*) exit 100 ;; esac
command -v perl >/dev/null 2>&1 || exit 100
PERL5OPT='' LC_ALL=C
export PERL5OPT LC_ALL
exec perl -C0 -e "$@"
