# What the plain cases share. Verbs of host.sh are each done by one process where the host has Perl and nothing is out of the
# ordinary, as to start some thirty programs takes a host longer than all that they do.
#   perl -e PROGRAM STATE_DIR PROJECT_DIR RUN WHO        data on standard input; PROGRAM: this, then commit.pl, end.pl or runbooks/look.pl
# Answer and effects are those of host.sh, in its order. Exit codes: 0, 12, 14 as of host.sh. 100: it is not plain; nothing but the
# lock is written, and the answer is the header of the data, of which no more was read (empty: nothing was read); of what only
# reads, look.pl says itself what it leaves. 101: a file
# could not be written, the answer says which, and what was begun is to be taken back: it never does that, and never mends.
our ($state, $project, $run, $who) = @ARGV;
our ($objects, $journal, $lock) = ("$state/objects", "$state/journal", "$project/.compose-runbook.lock");
our ($header, $previous, $fsync) = ('', '0' x 64);
# From linux/fcntl.h and the kernel's tables, as to load a module takes longer than all of this: where the processor is
# another (its number in an ELF header) fsync's is not known.
my ($READ, $WRITE, $NEW, $FRESH, $APPEND) = (0, 1, 01100, 0300, 02100);
my %FSYNC = (62 => 74, 183 => 82);

sub answer { my $code = shift; print @_; exit $code }
sub leave { answer(100, $header) }
sub refuse { answer(12, "refused @_\n") }

# --- files: each function is true when all of it was done
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

my ($perl, $elf);
sysopen($perl, '/proc/self/exe', $READ) && sysread($perl, $elf, 20) == 20 or leave();
$fsync = $FSYNC{unpack 'x18v', $elf} if substr($elf, 0, 6) eq "\x7fELF\2\1";
$fsync && enter($project, $project) or leave();
