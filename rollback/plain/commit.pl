# lock+commit: every write replaces a regular file, which is not longer than 8 MiB.
our (%said, %kept, @writes, $end);
my $LARGEST = 1 << 23;

sub content { # FILE: its bytes
    my ($file, $bytes) = (shift, '');
    sysopen my $in, $file, $READ or return;
    -f $in && -s _ <= $LARGEST or return;
    while (1) { my $got = sysread $in, $bytes, 65536, length $bytes; defined $got or return; $got or return \$bytes }
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
        return if grep({ !/^[0-7]{1,4}\z/ } $mode, $newmode) || grep { !/^[0-9]{1,10}\z/ } $newuid, $newgid;
        return if $from ne 'object' && grep { !/^(?:0|[1-9][0-9]{0,9})\z/ } $from, $size;
        my ($folder, $name) = $path =~ m{^(\Q$project\E(?:/[^/]+)*)/([^/]+)\z} or return;
        my $box = ".compose-runbook.$said{id}." . (1 + @writes);
        return if !enter($folder, $folder) || !-w '.' || !is_absent($box) || !is_as($path, $mode, $uid, $gid);
        return if $> && grep { $_ != $> } $uid, $newuid;
        return if $> && grep { !$groups{$_} } $gid, $newgid;
        $end = $from + $size if $from ne 'object' && $from + $size > $end;
        $sum{$path} = $sha;
        for ($sha, $new) { $kept{$_} = $sum{"$objects/$_"} = $_ if -e "$objects/$_" }
        return if $from eq 'object' && !$kept{$new};
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
            next if $kept{$sum} || $is_new{$sum}++;
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

commit();
