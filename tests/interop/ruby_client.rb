# Runs cases of the interop client that Debian's ruby-grpc ships, several in one process, as Ruby takes long to start.
# Takes its flags, with names of cases joined by commas; prints "pass NAME", "fail NAME WHY" or "absent NAME" for each.
load File.join(Gem::Specification.find_by_name('grpc').gem_dir, 'src/ruby/pb/test/client.rb')
$stdout.sync = true
GRPC.logger.level = Logger::FATAL

# The cases print what they do, which is nobody's here.
class NamedTests
  def p(*) end
end
class PingPongPlayer
  def p(*) end
end

flags, names = ARGV.partition { |a| !a.start_with?('--test_case=') }
names.fetch(0).delete_prefix('--test_case=').split(',').each do |name|
  begin
    ARGV.replace(flags + ["--test_case=#{name}"])
    args = parse_args
    NamedTests.new(create_stub(args), args).public_send(name)
    puts "pass #{name}"
  rescue OptionParser::InvalidArgument
    puts "absent #{name}"
  rescue StandardError => e
    puts "fail #{name} #{e.class}: #{e.message.lines.first}"
  end
end
