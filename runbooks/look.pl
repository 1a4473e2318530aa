# The opening of a host and the reading of files of its project, where both are plain: `opening` of host.sh, then `survey.sh FOLDER --files`.
#   perl -e PROGRAM STATE_DIR PROJECT_DIR RUN WHO       paths, a line each, on standard input; PROGRAM: rollback/plain/common.pl, then this
# The answer is a line with the length of what the opening says, that, and what the survey says. Exit code 100: it is not plain, and
# nothing is said; nothing was written but a state folder that was missing.
# statfs's numbers are from the kernel's tables, its structure from linux/statfs.h: that of x86-64 is that of AArch64.
my %STATFS = (62 => 137, 183 => 43);
my ($NOT_WAITING, $LARGEST, $room) = (04000, 1 << 21, 1 << 24);
# What may be written the kernel is asked, as the shell asks it: a file's mode says nothing of a file system that is read-only.
# (`use filetest 'access'`, whose module need not be loaded for it.)
BEGIN { $^H |= 0x00400000 }

sub names { # FOLDER: all of them
    opendir my $in, $_[0] or leave();
    $! = 0;
    my @found = grep { !/^\.\.?\z/ } readdir $in;
    $! ? leave() : @found;
}
sub has { # FOLDER PATTERN: whether a name in it is such a one; of a project's folder there may be any number
    my ($folder, $pattern, $name) = @_;
    opendir my $in, $folder or leave();
    $! = 0;
    while (defined($name = readdir $in)) { return 1 if $name !~ /^\.\.?\z/ && $name =~ $pattern }
    $! ? leave() : 0;
}
sub look_at { # PATH: its state and its bytes: of a regular file, the one that has this name, and of no link
    my ($in, $bytes, @named) = (undef, '', lstat $_[0]);
    -f _ && sysopen($in, $_[0], $READ | $NOT_WAITING) or leave();
    my @found = stat $in;
    # Another may have got its name meanwhile, and even its number.
    -f _ && "@named[0, 1]" eq "@found[0, 1]" && $found[7] <= $LARGEST && ($room -= $found[7]) >= 0 or leave();
    # Of a file that grows meanwhile this is the beginning.
    while (length $bytes < $found[7]) { sysread $in, $bytes, $found[7] - length $bytes, length $bytes or leave() }
    \@found, $bytes;
}

# --- the opening
sub make { # the state folder, which is sure before anything is kept in it
    $state =~ m{^(?:/[^/]+)+\z} && $state !~ m{/\.\.?(?:/|\z)} or leave();
    my @above = ('/');
    push @above, "$above[-1]$_/" for split m{/}, substr $state, 1;
    -d $_ || mkdir $_ or leave() for @above, $objects, "$state/snapshots", "$state/tmp";
    flush(reverse @above) && mkdir "$state/commands" or leave();
}
sub free { # KiB
    my $said = "\0" x 256;
    syscall($STATFS{unpack 'x18v', $elf}, $state, $said) == 0 or leave();
    my ($size, $blocks, $fragment) = (unpack 'q<10', $said)[1, 4, 9];
    int(($fragment || $size) * $blocks / 1024);
}
sub is_whole { # whether no run left anything, as far as reading shows
    my (@commands, @snapshots) = names("$state/commands");
    my %there = map { $_ => 1 } @snapshots = names("$state/snapshots");
    is_absent("$state/pending") && !has("$state/tmp", qr/./s) && !has($objects, qr/^\.new\./)
        && !has($project, qr/^\.compose-runbook\.lock(?:\z|\.[0-9])/) && @commands <= 20
        && !grep({ !is_absent("$state/commands/$_/unseen") } @commands) && !grep { /^\./ || /(.*)\.files\z/s && !$there{"$1.json"} } @snapshots;
}
sub opening { # in the order of host.sh, as another run may be at work: the head is never newer than the snapshots
    umask(-g $state ? 007 : 077);
    -d "$state/commands" or make();
    -w "$state/tmp" && -w $project or leave();
    my ($now, $free, $last) = (time, free(), last_line());
    defined $last && $last !~ /\0/ && is_whole() or leave();
    my $said = sprintf "clock %d\nfree %d\n%s--\nwhole\n--\n", $now, $free, $last eq '' ? "head $previous\n" : "last $last";
    $said .= (look_at("$state/snapshots/$_"))[1] . "\n" for sort grep { /^[^.].*\.json\z/s } names("$state/snapshots");
    $said;
}

# --- the survey
sub survey { # PATH
    my $path = shift;
    $path =~ m{^\Q$project\E/[^/]+\z} && $path !~ m{/\.\.?\z} or leave();
    return "file absent 0 0 0 - 0 $path\n\n" if is_absent($path);
    my ($found, $bytes) = look_at($path);
    sprintf "file ok %o %d %d - %d %s\n%s\n", $found->[2] & 07777, @$found[4, 5], length $bytes, $path, $bytes;
}

sub paths { # the lines of the data
    my $data = '';
    while (1) { my $got = sysread STDIN, $data, 65536, length $data; defined $got or leave(); $got or last }
    $data =~ /(?:\n|^)\z/ ? split /\n/, $data : leave();
}

my @paths = paths();
my $said = opening();
answer(0, length $said, "\n", $said, map { survey($_) } @paths);
