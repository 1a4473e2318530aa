# The plain case of the verb lock+commit, done by one process: every write replaces a regular file, and nothing stands in the
# way. host.sh starts it where the host has Perl, as to start thirty programs takes a host longer than all that they do.
#   perl -e PROGRAM STATE_DIR PROJECT_DIR RUN WHO        data on standard input, answer and effects as of host.sh, in its order
# Exit codes: 0, 12, 14 as of host.sh. 100: it is not plain; nothing but the lock is written, and the answer is the header of the
# data, of which no more was read (empty: nothing was read). 101: a file could not be written, the answer says which, and what
# was begun is to be taken back: this program never does that, and never mends anything.
our ($state, $project, $run, $who) = @ARGV;
our ($objects, $journal, $lock) = ("$state/objects", "$state/journal", "$project/.compose-runbook.lock");
our ($header, $previous, $end, $fsync, %said, @writes) = ('', '0' x 64);
# From linux/fcntl.h and the kernel's tables, as to load a module takes longer than all of this: where the processor is
# another (its number in an ELF header) fsync's is not known.
my ($READ, $WRITE, $NEW, $FRESH, $APPEND) = (0, 1, 01100, 0300, 02100);
my %FSYNC = (62 => 74, 183 => 82);
my $LARGEST = 1 << 23;

sub answer { my $code = shift; print @_; exit $code }
sub leave { answer(100, $header) }
sub refuse { answer(12, "refused @_\n") }

# --- files: each function is true when all of it was done
sub content { # FILE: its bytes
    my ($file, $bytes) = (shift, '');
    sysopen my $in, $file, $READ or return;
    -f $in && -s _ <= $LARGEST or return;
    while (1) { my $got = sysread $in, $bytes, 65536, length $bytes; defined $got or return; $got or return \$bytes }
}
sub fill { # FILE FLAGS BYTES [MODE]: the open file
    my ($file, $flags, $left, $mode) = (@_, 0666);
    sysopen my $out, $file, $WRITE | $flags, $mode or return;
    while (length $left) { my $put = syswrite $out, $left or return; substr($left, 0, $put) = '' }
    $out;
}
sub is_sure { $_[0] && syscall($fsync, fileno $_[0]) == 0 || system('sync') == 0 } # OPEN FILE
sub flush { # FILE OR FOLDER...
    for (@_) { my $it; is_sure(sysopen($it, $_, $READ) && $it) or return }
    1;
}
sub is_absent { !lstat $_[0] and $! == 2 } # PATH: surely, by ENOENT
sub sums { # BYTES FILE...: the sum of each
    my ($bytes, @files) = @_;
    my ($data, $ours, $answer, $its);
    pipe($data, $ours) && pipe($answer, $its) or return;
    defined(my $child = fork) or return;
    if (!$child) { open(STDIN, '<&', $data) && open(STDOUT, '>&', $its) && exec 'sha256sum', '-', @files; exit 127 }
    close $_ for $data, $its;
    syswrite($ours, $bytes) == length $bytes or return;
    close $ours;
    my @found = map { /^([0-9a-f]{64}) / } <$answer>;
    waitpid $child, 0;
    $? == 0 && @found == @_ ? @found : ();
}
sub enter { chdir $_[0] and (readlink '/proc/self/cwd' || '') eq $_[1] } # FOLDER NAME: it is the one of that name, without links

# --- the journal
sub last_line { # its last, with its line break; empty where there is none, undef where it is not whole
    return '' if is_absent($journal);
    -f $journal or return;
    my ($in, $size, $tail) = (undef, -s _, '');
    return '' if !$size;
    sysopen($in, $journal, $READ) && sysseek($in, $size > 65536 ? $size - 65536 : 0, 0) && sysread($in, $tail, 65536) or return;
    $tail =~ /(?:^|\n)([^\n]+\n)\z/ && ($size <= 65536 || length $1 < 65536) ? $1 : undef;
}
sub entry { # HASH KIND ID DATA
    my ($s, $m, $h, $day, $month, $year) = gmtime;
    my $at = sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $year + 1900, $month + 1, $day, $h, $m, $s;
    qq({"previous":"$_[0]","at":"$at","kind":"$_[1]","run":"$run","id":"$_[2]","who":"$who","data":$_[3]}\n);
}

# --- one at a time, as in host.sh: an open folder that is locked, and free again when this process ends
sub alone { my $folder; sysopen($folder, $_[0], $READ) && flock($folder, 2) ? $folder : undef }

sub receive { # the header; the rest of the data stays where it is
    my ($count, $got) = ('');
    while (($got = sysread STDIN, $count, 1, length $count) && length $count < 20) { last if $count =~ /\n/ }
    $count =~ /^([1-9][0-9]{0,15})\n\z/ or refuse 'the data did not arrive whole';
    while (length $header < $1) { sysread STDIN, $header, $1 - length $header, length $header or refuse 'the data did not arrive whole' }
}
sub is_plain { # whether a commit is: each file is as it was when it was planned, and this user can replace it
    for (split /\n/, $header) {
        my ($word, $rest) = split / /, $_, 2;
        if ($word =~ /^(?:write|read)\z/) { push @{$said{$word}}, $rest } elsif (exists $said{$word}) { return } else { $said{$word} = $rest }
    }
    return if "$said{id}" !~ /^[A-Za-z0-9][A-Za-z0-9._+-]*\z/ || "$said{story}" !~ /^[1-9][0-9]{0,9}\z/ || "$said{note}" !~ /^\{.*\}\z/;
    return if !is_absent("$state/pending") || !$said{write};
    my (%groups, %sum) = map { $_ => 1 } split / /, $);
    $end = $said{story};
    for (@{$said{write}}) {
        my ($sha, $mode, $uid, $gid, $link, $new, $newmode, $newuid, $newgid, $newlink, $from, $size, $path) = split / /, $_, 13;
        return if "$link$newlink" ne '--' || grep { !/^[0-9a-f]{64}\z/ } $sha, $new;
        return if grep { !/^[0-7]{1,4}\z/ } $mode, $newmode;
        return if $from ne 'object' && grep { !/^(?:0|[1-9][0-9]{0,9})\z/ } $from, $size;
        my ($folder, $name) = $path =~ m{^(\Q$project\E(?:/[^/]+)*)/([^/]+)\z} or return;
        my $box = ".compose-runbook.$said{id}." . (1 + @writes);
        return if !enter($folder, $folder) || !-w '.' || !is_absent($box) || !is_as($path, $mode, $uid, $gid);
        return if $> && grep { $_ != $> } $uid, $newuid;
        return if $> && grep { !$groups{$_} } $gid, $newgid;
        $end = $from + $size if $from ne 'object' && $from + $size > $end;
        $sum{$path} = $sha;
        for ($sha, $new) { $sum{"$objects/$_"} = $_ if -e "$objects/$_" }
        return if $from eq 'object' && !$sum{"$objects/$new"};
        push @writes, {sha => $sha, new => $new, was => oct $mode, mode => oct $newmode, uid => $newuid, gid => $newgid, from => $from, size => $size,
                       folder => $folder, name => $name, path => $path, box => $box};
    }
    for (@{$said{read} || []}) {
        my ($sha, $mode, $uid, $gid, $link, $path) = split / /, $_, 6;
        return if $link ne '-' || $path !~ m{^/};
        if ($sha eq 'absent') { is_absent($path) or return; next }
        is_as($path, $mode, $uid, $gid) or return;
        $sum{$path} = $sha;
    }
    defined(my $last = last_line) or return;
    my @files = sort keys %sum;
    return if grep { m{/\.\.?/|[\\\n]} } @files;
    (my $hash, my @found) = sums($last, @files) or return;
    $previous = $hash if $last ne '';
    "@found" eq "@sum{@files}";
}
sub is_as { # PATH MODE UID GID: a regular file, not too long
    my @found = lstat $_[0];
    -f _ && -s _ <= $LARGEST && sprintf('%o %d %d', $found[2] & 07777, @found[4, 5]) eq "$_[1] $_[2] $_[3]";
}

sub keep { # what undoes it: the bytes of each file, old and new, by their sum, which files, and its story; then the mark
    my $data = '';
    while (1) { my $got = sysread STDIN, $data, 65536, length $data; defined $got or refuse 'the data cannot be read'; $got or last }
    length $data >= $end or refuse 'the data did not arrive whole';
    my (%is_new, @new);
    for (@writes) {
        my $from = "$objects/$_->{new}";
        $_->{bytes} = $_->{from} eq 'object' ? content($from) : \substr $data, $_->{from}, $_->{size};
        # A copy of what was is nobody's who could not read it.
        for my $each ([$_->{sha}, content($_->{path}), $_->{was} & 0777], [$_->{new}, $_->{bytes}, 0666]) {
            my ($sum, $bytes, $mode) = @$each;
            $bytes or refuse "$_->{path} cannot be read";
            next if -e "$objects/$sum" || $is_new{$sum}++;
            push @new, $sum;
            fill("$state/tmp/$sum", $NEW, $$bytes, $mode) or refuse "no space to keep $_->{path} in $state";
        }
    }
    my $begin = entry($previous, 'begin', $said{id}, '{}');
    my ($hash, @found) = sums($begin, map { "$state/tmp/$_" } @new) or refuse "what is kept in $state cannot be looked at";
    for (@writes) {
        my ($path, %is) = ($_->{path}, map { $new[$_] => $found[$_] } 0 .. $#new);
        refuse "no space to keep $path in $state" if $is_new{$_->{sha}} && $is{$_->{sha}} ne $_->{sha};
        refuse "$path did not arrive whole" if $is_new{$_->{new}} && $is{$_->{new}} ne $_->{new};
    }
    my $notes = "$state/snapshots/.$said{id}";
    fill("$notes.files", $NEW, join '', map { "write $_\n" } @{$said{write}}) && fill("$notes.json", $NEW, substr $data, 0, $said{story})
        && flush((map { "$state/tmp/$_" } @new), "$notes.files", "$notes.json") && rename("$notes.files", "$state/snapshots/$said{id}.files")
        && !(grep { !rename "$state/tmp/$_", "$objects/$_" } @new) && flush($objects, "$state/snapshots")
        or refuse "no space for the snapshot in $state";
    fill($journal, $APPEND, $begin) or refuse "cannot write $journal";
    fill("$state/tmp/pending.$$", $NEW, "$said{id}\n") && flush($journal, "$state/tmp/pending.$$")
        && rename("$state/tmp/pending.$$", "$state/pending") && flush($state) or refuse "cannot write in $state";
    $previous = $hash;
}
sub stand_by { # a new file, whole, in a folder of our own beside its target
    my $box = "$_->{folder}/$_->{box}";
    my $new;
    enter($_->{folder}, $_->{folder}) && mkdir($_->{box}, 0700) && enter($_->{box}, $box)
        && ($new = fill('new', $FRESH, ${$_->{bytes}})) && chmod($_->{mode}, $new) or return;
    my @found = stat $new or return;
    # A new owner takes bits of the mode along.
    "@found[4, 5]" eq "$_->{uid} $_->{gid}" || chown($_->{uid}, $_->{gid}, $new) && chmod($_->{mode}, $new) or return;
    is_sure($new);
}
sub take_name {
    enter($_->{folder}, $_->{folder}) && enter($_->{box}, "$_->{folder}/$_->{box}") && rename('new', "../$_->{name}") && chdir '..' && rmdir $_->{box};
}
sub exchange { # the files take their names, one right after the other; then the snapshot that undoes them can be seen
    my ($json, @folders) = ("$state/snapshots/.$said{id}.json", "$state/snapshots");
    for (@writes) {
        take_name() or return;
        unshift @folders, $_->{folder} if $folders[0] ne $_->{folder};
    }
    rename($json, "$state/snapshots/$said{id}.json") && flush(@folders);
}
sub commit {
    receive();
    -d "$state/tmp" && -w _ or leave();
    my $one = alone($project) or leave();
    symlink sprintf('run=%s who=%s since=%d renewed=%3$d', $run, $who, time), $lock or leave();
    close $one;
    $one = alone($state) or leave();
    is_plain() or leave();
    keep();
    for (@writes) { stand_by() or answer(101, $_->{path}) }
    exchange() or answer(101, 'the snapshot');
    my $commit = entry($previous, 'commit', $said{id}, $said{note});
    fill($journal, $APPEND, $commit) && flush($journal) && unlink("$state/pending") && flush($state) or answer(14, "pending $said{id}\n");
    answer(0, "last $commit");
}

my ($perl, $elf);
sysopen($perl, '/proc/self/exe', $READ) && sysread($perl, $elf, 20) == 20 or leave();
$fsync = $FSYNC{unpack 'x18v', $elf} if substr($elf, 0, 6) eq "\x7fELF\2\1";
$fsync && enter($project, $project) or leave();
commit();
